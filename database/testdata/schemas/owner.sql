-- The application owns everything: database, schemas, tables, views, functions; serial columns; access lists that were changed.
-- app: owner_app
-- root: app.tenant
-- a: 1
-- b: 2
do $$ begin
  if not exists (select from pg_roles where rolname = 'owner_app') then create role owner_app login password 'owner_app'; end if;
  if not exists (select from pg_roles where rolname = 'owner_reader') then create role owner_reader login password 'owner_reader'; end if;
  execute format('alter database %I owner to owner_app', current_database());
end $$;
create schema app authorization owner_app;
set role owner_app;
create table app.tenant (id int primary key, marker text not null);
create table app.customer (id serial primary key, tenant_id int not null references app.tenant, marker text not null);
create table app.invoice (id int generated always as identity primary key, customer_id int not null references app.customer, amount numeric, marker text not null);
create table app.item (id serial primary key, invoice_id int not null references app.invoice, marker text not null);
create table app.log (id serial primary key, tenant_id int not null, marker text not null);
create view app.invoices as select i.*, c.tenant_id from app.invoice i join app.customer c on c.id = i.customer_id;
create function app.total(int) returns numeric language sql stable as 'select sum(amount) from app.invoice where customer_id = $1';
create sequence app.counter;
alter default privileges in schema app grant select on tables to owner_reader;
grant usage on schema app to owner_reader;
grant select on app.invoice, app.invoices to owner_reader;
grant select (id, invoice_id), references (id) on app.item to owner_reader;
revoke truncate on app.log from owner_app;
insert into app.tenant values (1, 'A'), (2, 'B');
insert into app.customer (tenant_id, marker) select id, marker from app.tenant, generate_series(1, 3);
insert into app.invoice (customer_id, amount, marker) select id, 1, marker from app.customer;
insert into app.item (invoice_id, marker) select id, marker from app.invoice;
insert into app.log (tenant_id, marker) select id, marker from app.tenant;
reset role;
