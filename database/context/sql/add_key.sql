
declare
  i_pad bytea := decode(repeat('36', 64), 'hex');
  o_pad bytea := decode(repeat('5c', 64), 'hex');
begin
  if (length(p_key) between 32 and 64) is not true then
    raise exception using errcode = '22023', message = 'bulkhead: a key has 32 to 64 bytes';
  end if;
  for i in 0 .. length(p_key) - 1 loop
    i_pad := set_byte(i_pad, i, get_byte(p_key, i) # 54);
    o_pad := set_byte(o_pad, i, get_byte(p_key, i) # 92);
  end loop;
  insert into bulkhead.signing_key (kid, ipad, opad) values (p_kid, i_pad, o_pad);
end
