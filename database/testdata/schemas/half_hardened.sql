-- Somebody began: policies that are wrong in every way, row security that is off, not forced, or on without a policy.
-- app: half_app
-- root: public.organizations
-- denied: public.denied
-- a: 11111111-1111-4111-8111-111111111111
-- b: 22222222-2222-4222-8222-222222222222
do $$ begin
  if not exists (select from pg_roles where rolname = 'half_app') then create role half_app login password 'half_app'; end if;
  if not exists (select from pg_roles where rolname = 'half_owner') then create role half_owner; end if;
end $$;
grant create on schema public to half_owner;
create function current_org() returns uuid language sql stable as $$ select nullif(current_setting('app.org_id', true), '')::uuid $$;
create table organizations (id uuid primary key, marker text not null);
create table right_but_not_forced (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table true_for_select (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table or_branch (id serial primary key, org_id uuid not null references organizations, is_public bool not null default true, marker text not null);
create table or_unset (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table check_true (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table null_tolerant (id serial primary key, org_id uuid references organizations, marker text not null);
create table policies_off (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table nothing (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table denied (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table two_policies (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table restrictive_wrong (id serial primary key, org_id uuid not null references organizations, marker text not null);
create table lines (id serial primary key, parent_id int not null references true_for_select, marker text not null);
-- a policy that asks a function, which runs with the rights of an owner whom row security will bind
create function my_orgs() returns setof uuid language sql stable security definer set search_path = public as 'select id from organizations where id = current_org()';
alter function my_orgs() owner to half_owner;
create table by_function (id serial primary key, org_id uuid not null references organizations, marker text not null);
do $$ declare t text; begin
  for t in select tablename from pg_tables where schemaname = 'public' loop execute format('alter table %I owner to half_owner', t); end loop;
  foreach t in array array['organizations', 'right_but_not_forced', 'true_for_select', 'or_branch', 'or_unset', 'check_true', 'null_tolerant', 'denied', 'two_policies', 'restrictive_wrong', 'lines', 'by_function'] loop
    execute format('alter table %I enable row level security', t); end loop;
end $$;
alter table true_for_select force row level security;
create policy p on by_function using (org_id in (select my_orgs()));
create policy p on organizations using (true);
create policy p on right_but_not_forced using (org_id = current_org());
create policy r on true_for_select for select using (true);
create policy w on true_for_select to half_app using (org_id = current_org()) with check (org_id = current_org());
create policy p on or_branch using (org_id = current_org() or is_public);
create policy p on or_unset using (org_id = current_org() or current_org() is null);
create policy p on check_true using (org_id = current_org()) with check (true);
create policy p on null_tolerant using (org_id is not distinct from current_org());
create policy p on policies_off using (org_id = current_org());
create policy a on two_policies using (org_id = current_org());
create policy b on two_policies for select using (marker <> '');
create policy a on restrictive_wrong using (true);
create policy b on restrictive_wrong as restrictive using (org_id = current_org() or true);
create policy p on lines using (exists (select 1 from true_for_select t where t.id = parent_id));
grant select, insert, update, delete on all tables in schema public to half_app;
grant usage on all sequences in schema public to half_app;

insert into organizations values ('11111111-1111-4111-8111-111111111111', 'A'), ('22222222-2222-4222-8222-222222222222', 'B');
do $$ declare t text; begin
  for t in select tablename from pg_tables where schemaname = 'public' and tablename not in ('organizations', 'lines') loop
    execute format('insert into %I (org_id, marker) select id, marker from organizations, generate_series(1, 3)', t); end loop;
end $$;
insert into lines (parent_id, marker) select id, marker from true_for_select;
