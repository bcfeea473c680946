-- Two hundred and twenty tables: direct ones, every fourth followed by one that hangs on it.
-- app: many_app
-- root: public.organizations
-- a: 1
-- b: 2
do $$ begin
  if not exists (select from pg_roles where rolname = 'many_app') then create role many_app login password 'many_app'; end if;
end $$;
create table organizations (id int primary key, marker text not null);
insert into organizations values (1, 'A'), (2, 'B');
do $$ begin
  for i in 1..176 loop
    execute format('create table t%s (id serial primary key, org_id int not null references organizations, v text, marker text not null)', i);
    execute format('insert into t%s (org_id, marker) select id, marker from organizations', i);
    if i % 4 = 0 then
      execute format('create table c%1$s (id serial primary key, t_id int not null references t%1$s, marker text not null)', i);
      execute format('insert into c%1$s (t_id, marker) select id, marker from t%1$s', i);
    end if;
  end loop;
end $$;
grant select, insert, update, delete, truncate on all tables in schema public to many_app;
grant usage on all sequences in schema public to many_app;
