
declare
  o text := coalesce(current_setting('bulkhead.org_id', true), '');
  c text := coalesce(current_setting('request.jwt.claims', true), '');
begin
  if o = '' then
    :missing
  end if;
  if (:seal = currval('bulkhead.seal')) is not true then
    raise exception using errcode = '42501', message = 'bulkhead: the tenant context was changed after it was sealed';
  end if;
  return :value;
end
