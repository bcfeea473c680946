-- A correct schema: an owner that cannot log in, forced row security, policies on a stable function in a sub-select, keys that
-- carry the tenant, nothing granted beyond what is needed.
-- app: correct_app
-- root: public.organizations
-- global: public.countries
-- a: 11111111-1111-4111-8111-111111111111
-- b: 22222222-2222-4222-8222-222222222222
do $$ begin
  if not exists (select from pg_roles where rolname = 'correct_app') then create role correct_app login password 'correct_app'; end if;
  if not exists (select from pg_roles where rolname = 'correct_owner') then create role correct_owner; end if;
end $$;
revoke create on schema public from public;
grant usage, create on schema public to correct_owner;
set role correct_owner;
create table organizations (id uuid primary key, marker text not null);
create table countries (code text primary key);
create table accounts (id uuid not null unique, org_id uuid not null references organizations on delete cascade, marker text not null, primary key (org_id, id));
create table payments (id uuid not null unique, org_id uuid not null references organizations on delete cascade, account_id uuid not null, marker text not null,
  primary key (org_id, id), foreign key (org_id, account_id) references accounts (org_id, id) on delete cascade);
create index on payments (org_id, account_id);
create function current_org() returns uuid language sql stable as $$ select nullif(current_setting('app.org_id', true), '')::uuid $$;
alter table organizations enable row level security; alter table organizations force row level security;
alter table accounts enable row level security; alter table accounts force row level security;
alter table payments enable row level security; alter table payments force row level security;
create policy tenant on organizations using (id = (select current_org()));
create policy tenant on accounts using (org_id = (select current_org()));
create policy tenant on payments using (org_id = (select current_org()));
grant select on countries to correct_app;
grant select, insert, update, delete on organizations, accounts, payments to correct_app;
reset role;
revoke create on schema public from correct_owner;

insert into countries values ('de');
insert into organizations values ('11111111-1111-4111-8111-111111111111', 'A'), ('22222222-2222-4222-8222-222222222222', 'B');
insert into accounts select gen_random_uuid(), id, marker from organizations, generate_series(1, 3);
insert into payments select gen_random_uuid(), org_id, id, marker from accounts;
