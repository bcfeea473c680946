-- Partitions of partitions, keys of and to them, an index of the application on one partition.
-- app: parted_app
-- root: public.orgs
-- a: 1
-- b: 2
do $$ begin if not exists (select from pg_roles where rolname = 'parted_app') then create role parted_app login password 'parted_app'; end if; end $$;
create table orgs (id bigint primary key, marker text);
create table events (id bigint not null, org_id bigint, at date not null, marker text, primary key (id, at)) partition by range (at);
create table events_1 partition of events for values from ('2020-01-01') to ('2021-01-01') partition by list (id);
create table events_1a partition of events_1 for values in (1,2); create table events_1b partition of events_1 default; create table "events 2 Odd" partition of events for values from ('2021-01-01') to ('2022-01-01'); create table events_def partition of events default;
create index own_leaf on events_1a (org_id);
create table details (id int not null, org_id bigint not null references orgs, ev_id bigint, ev_at date, marker text, foreign key (ev_id, ev_at) references events deferrable initially deferred) partition by hash (org_id);
create table details_0 partition of details for values with (modulus 2, remainder 0); create table details_1 partition of details for values with (modulus 2, remainder 1);
create table plain (id int primary key, org_id bigint not null references orgs, ev_id bigint, ev_at date, marker text, foreign key (ev_id, ev_at) references events on delete cascade);
create table sub (id int primary key, org_id bigint not null references orgs, plain_id int references plain, marker text);
create table items (id int not null, org_id bigint not null references orgs, plain_id int references plain, marker text) partition by list (id); create table items_1 partition of items for values in (1); create table items_2 partition of items default;
grant select,insert,update,delete on all tables in schema public to parted_app;
insert into orgs values (1,'A'),(2,'B'); insert into events values (1,1,'2020-03-03','A'),(2,2,'2020-03-03','B'),(7,1,'2020-04-04','A'),(8,2,'2021-03-03','B'),(9,1,'2030-03-03','A');
insert into details values (1,1,1,'2020-03-03','A'),(2,2,2,'2020-03-03','B'); insert into plain values (1,1,1,'2020-03-03','A'),(2,2,8,'2021-03-03','B'); insert into sub values (1,1,1,'A'),(2,2,2,'B'); insert into items values (1,1,1,'A'),(2,2,2,'B');
