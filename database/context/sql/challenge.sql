
declare
  h text := replace(gen_random_uuid()::text, '-', '');
begin
  perform setval('bulkhead.seal', 0); -- nothing is sealed any more
  return setval('bulkhead.slot', :random);
end
