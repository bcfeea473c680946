-- An application that may use views only, rules and triggers that run as a superuser, links that not every row has, and policies
-- of others that have the names of Bulkhead's.
-- app: shape_app
-- root: public.orgs
-- a: A
-- b: B
do $$ begin
  if not exists (select from pg_roles where rolname = 'shape_app') then create role shape_app login password 'shape_app'; end if;
  if not exists (select from pg_roles where rolname = 'shape_viewer') then create role shape_viewer; end if;
end $$;
create table orgs (id text primary key, marker text not null);
create table direct (id int primary key, org_id text not null references orgs, marker text not null);
create table middle (id int primary key, direct int not null references direct, marker text not null);
create table deep (id int primary key, parent int not null references middle, short_cut int references direct, marker text not null);
create table log (org_id text not null references orgs, marker text not null);
create view deep_view as select * from deep;
create view view_of_view as select marker, parent from deep_view;
create view bound_view as select id, marker from deep;
alter view bound_view owner to shape_viewer;
grant select on deep to shape_viewer;

create table groups (id int primary key, org_id text not null references orgs, marker text not null);
create table optional_link (id int primary key, parent int not null references middle, grp int references groups, marker text not null);

create table alone (id int primary key, org_id text not null references orgs, marker text not null);
create view ruled_view as select id, org_id, marker from alone;
create rule ins as on insert to ruled_view do instead insert into alone values (new.id, new.org_id, new.marker);
create rule del as on delete to ruled_view do instead delete from alone where id >= old.id;
create table ruled_table (id int primary key, org_id text not null references orgs, marker text not null);
create rule ins as on insert to ruled_table do also insert into log values (new.org_id, new.marker);
create rule del as on delete to ruled_table do also delete from log;
create view instead_view as select id, org_id, marker from direct;
create function instead() returns trigger language plpgsql security definer as $$ begin insert into direct values (new.id, new.org_id, new.marker); return new; end $$;
create trigger instead instead of insert on instead_view for each row execute function instead();

create table squatted (id int primary key, org_id text not null references orgs, marker text not null);
alter table squatted enable row level security;
create policy bulkhead_floor on squatted for select using (true);
comment on policy bulkhead_floor on squatted is 'it''s \ mine';
create policy bulkhead_base on squatted for insert with check (true);

grant select, insert, update, delete on deep_view, view_of_view, ruled_view, ruled_table, instead_view, optional_link to shape_app;
grant select, insert on squatted to shape_app;
grant select on bound_view to shape_app;

insert into orgs values ('A', 'A'), ('B', 'B');
insert into direct values (1, 'A', 'A'), (2, 'B', 'B');
insert into alone values (1, 'A', 'A'), (2, 'B', 'B');
insert into middle values (1, 1, 'A'), (2, 2, 'B');
insert into deep values (1, 1, null, 'A'), (2, 2, 2, 'B');
insert into log values ('A', 'A'), ('B', 'B');
insert into groups values (1, 'A', 'A');
insert into optional_link values (1, 1, 1, 'A'), (2, 1, null, 'A'), (3, 2, null, 'B');
insert into ruled_table values (1, 'A', 'A'), (2, 'B', 'B');
insert into squatted values (1, 'A', 'A'), (2, 'B', 'B');
