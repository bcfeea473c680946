-- Rights in every wrong place: roles that lead to an owner, to BYPASSRLS and to predefined roles, PUBLIC, columns, grant options,
-- default privileges, a tenant by default, views and functions of a superuser, foreign tables.
-- app: grants_app
-- root: public.organizations
-- global: public.rates
-- a: 11111111-1111-4111-8111-111111111111
-- b: 22222222-2222-4222-8222-222222222222
do $$ begin
  if not exists (select from pg_roles where rolname = 'grants_app') then create role grants_app login password 'grants_app'; end if;
  if not exists (select from pg_roles where rolname = 'grants_rw') then create role grants_rw; end if;
  if not exists (select from pg_roles where rolname = 'grants_owner') then create role grants_owner; end if;
  if not exists (select from pg_roles where rolname = 'grants_bypass') then create role grants_bypass bypassrls; end if;
  if not exists (select from pg_roles where rolname = 'grants_reader') then create role grants_reader login password 'grants_reader'; end if;
  execute format('alter role grants_app in database %I set work_mem = ''8MB''', current_database());
  execute format('alter role grants_app in database %I set app.org_id = ''22222222-2222-4222-8222-222222222222''', current_database());
end $$;
grant grants_rw, grants_owner, pg_read_all_stats to grants_app;
grant grants_bypass to grants_app with admin option;
grant create on schema public to grants_owner;
set role grants_owner;
create table organizations (id uuid primary key, marker text not null);
create table rates (id serial primary key, rate numeric);
create table orders (id uuid primary key default gen_random_uuid(), org_id uuid not null references organizations, marker text not null);
create table order_lines (id uuid primary key default gen_random_uuid(), order_id uuid not null references orders, marker text not null);
create table secrets (id uuid primary key default gen_random_uuid(), org_id uuid not null references organizations, marker text not null);
grant select, insert, update, delete, truncate, trigger on organizations, orders, order_lines to grants_rw;
grant select on orders to grants_reader with grant option;
grant all on orders to public;
grant all on rates to grants_app, public;
grant select, insert, update, delete on secrets to grants_app with grant option;
grant references (id), select (id) on order_lines to grants_app;
alter default privileges in schema public grant select on tables to grants_reader;
alter default privileges in schema public grant all on tables to grants_rw, public;
reset role;
set role grants_app;
grant select on secrets to grants_reader;
grant grants_bypass to grants_reader;
reset role;
revoke create on schema public from grants_owner;
create view v_orders as select * from orders;
create view v_lines as select l.*, o.org_id from order_lines l join v_orders o on o.id = l.order_id;
create view v_secrets as select * from secrets;
create materialized view mv_orders as select * from orders;
create function all_orders() returns setof orders language sql security definer as 'select * from orders';
create function org_exists(uuid) returns bool language sql stable security definer as 'select exists (select 1 from organizations where id = $1)';
create function plain_sum(int, int) returns int language sql immutable as 'select $1 + $2';
alter table secrets enable row level security;
create policy known on secrets using (org_exists(org_id));
grant select on v_orders, v_lines, mv_orders to grants_reader, grants_rw;
grant select, update on v_secrets to grants_rw;
grant usage on schema public to grants_app;

insert into organizations values ('11111111-1111-4111-8111-111111111111', 'A'), ('22222222-2222-4222-8222-222222222222', 'B');
insert into rates (rate) values (1);
insert into orders (org_id, marker) select id, marker from organizations, generate_series(1, 3);
insert into order_lines (order_id, marker) select id, marker from orders;
insert into secrets (org_id, marker) select id, marker from organizations;
refresh materialized view mv_orders;
