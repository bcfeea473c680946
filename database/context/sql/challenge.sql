
declare
  h text := replace(gen_random_uuid()::text, '-', '');
begin
  perform setval('bulkhead.seal', 0); -- nothing is sealed any more
  -- The digits of the version and the variant are not random.
  return setval('bulkhead.slot', ('x' || substr(h, 1, 8) || substr(h, 18, 7))::bit(60)::bigint);
end
