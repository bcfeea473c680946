
declare
  o text := coalesce(current_setting('bulkhead.org_id', true), '');
  c text := coalesce(current_setting('request.jwt.claims', true), '');
  s text := coalesce(current_setting('bulkhead.signature', true), '');
  ok boolean;
begin
  if o = '' then
    :missing
  end if;
  if (:wellformed) is not true then
    raise exception using errcode = '42501', message = 'bulkhead: the tenant context is not signed';
  end if;
  -- HMAC-SHA-256. Digests of both are compared, so the time tells nothing.
  select sha256(convert_to(substr(s, 17), 'UTF8')) = sha256(convert_to(encode(sha256(k.opad || sha256(k.ipad || convert_to(concat_ws(chr(10),
      'bulkhead/1', :backend,
      substr(s, 1, 15), octet_length(convert_to(o, 'UTF8')), o, octet_length(convert_to(c, 'UTF8')), c), 'UTF8'))), 'hex'), 'UTF8'))
    and substr(s, 6, 10)::bigint > extract(epoch from clock_timestamp())
    and (k.not_after is null or k.not_after > clock_timestamp())
  into ok from bulkhead.signing_key k where k.kid = substr(s, 1, 4)::integer;
  if ok is not true then -- no such key: NULL
    raise exception using errcode = '42501', message = 'bulkhead: the tenant context is not valid for this backend, or has expired';
  end if;
  return :value;
end
