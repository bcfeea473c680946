
declare
  o text := coalesce(current_setting('bulkhead.org_id', true), '');
  c text := coalesce(current_setting('request.jwt.claims', true), '');
begin
  if o = '' then
    :missing
  end if;
  return :value;
end
