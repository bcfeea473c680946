
declare
  o text := coalesce(p_org, '');
  c text := coalesce(p_claims, '');
  s text := coalesce(p_signature, '');
  h text := replace(gen_random_uuid()::text, '-', '');
  fresh bigint;
  ok boolean;
begin
  if o = '' or (:wellformed) is not true then
    raise exception using errcode = '42501', message = 'bulkhead: the tenant context is not signed';
  end if;
  select sha256(convert_to(substr(s, 17), 'UTF8')) = sha256(convert_to(encode(sha256(k.opad || sha256(k.ipad || convert_to(concat_ws(chr(10),
      'bulkhead/2', current_database(), currval('bulkhead.slot'),
      substr(s, 1, 15), octet_length(convert_to(o, 'UTF8')), o, octet_length(convert_to(c, 'UTF8')), c), 'UTF8'))), 'hex'), 'UTF8'))
    and substr(s, 6, 10)::bigint > extract(epoch from clock_timestamp())
    and (k.not_after is null or k.not_after > clock_timestamp())
  into ok from bulkhead.signing_key k where k.kid = substr(s, 1, 4)::integer;
  if ok is not true then -- no such key: NULL
    raise exception using errcode = '42501', message = 'bulkhead: the tenant context is not valid for this checkout, or has expired';
  end if;
  perform set_config('bulkhead.org_id', o, false), set_config('request.jwt.claims', c, false);
  -- The challenge is used up. The next one is the secret of this seal, too.
  fresh := setval('bulkhead.slot', :random);
  perform setval('bulkhead.seal', :seal);
  return fresh;
end
