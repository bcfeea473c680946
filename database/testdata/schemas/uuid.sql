-- No row security at all; uuid tenants; tenancy up to four foreign keys away; a link table, a tree, a cycle of foreign keys.
-- app: uuid_app
-- root: public.organizations
-- global: public.countries
-- a: 11111111-1111-4111-8111-111111111111
-- b: 22222222-2222-4222-8222-222222222222
do $$ begin
  if not exists (select from pg_roles where rolname = 'uuid_app') then create role uuid_app login password 'uuid_app'; end if;
  if not exists (select from pg_roles where rolname = 'uuid_report') then create role uuid_report login password 'uuid_report'; end if;
end $$;
create table organizations (id uuid primary key, name text not null, marker text not null);
create table countries (code text primary key, name text not null);
create table users (id uuid primary key, org_id uuid not null references organizations on delete cascade, email text not null, country text references countries, marker text not null);
create table documents (id uuid primary key, org_id uuid not null references organizations on delete cascade, author_id uuid references users, title text not null, body tsvector, marker text not null);
create table tags (id uuid primary key, org_id uuid not null references organizations on delete cascade, label text not null, marker text not null);
create table document_tags (document_id uuid not null references documents on delete cascade, tag_id uuid not null references tags on delete cascade, marker text not null, primary key (document_id, tag_id));
-- two, three, four foreign keys away from a table with the tenant's column
create table versions (id uuid primary key, document_id uuid not null references documents on delete cascade, n int not null, marker text not null);
create table chunks (id uuid primary key, version_id uuid not null references versions on delete cascade, marker text not null);
create table embeddings (id uuid primary key, chunk_id uuid not null references chunks on delete cascade, marker text not null);
create table neighbours (id uuid primary key, embedding_id uuid not null references embeddings on delete cascade, score real, marker text not null);
-- belongs to whichever of two parents it has
create table attachments (id uuid primary key, document_id uuid references documents on delete cascade, user_id uuid references users on delete cascade, marker text not null);
-- a tree
create table folders (id uuid primary key, org_id uuid not null references organizations on delete cascade, parent_id uuid references folders, marker text not null);
create table nodes (id uuid primary key, folder_id uuid not null references folders on delete cascade, parent_id uuid references nodes, marker text not null);
-- two tables that reference each other
create table threads (id uuid primary key, org_id uuid not null references organizations on delete cascade, last_post uuid, marker text not null);
create table posts (id uuid primary key, thread_id uuid not null references threads on delete cascade, marker text not null);
alter table threads add foreign key (last_post) references posts deferrable initially deferred;
create table notes (id uuid primary key, org_id uuid, text text, marker text not null); -- no foreign key, and may be NULL

create index on documents using gin (body);
create view v_documents as select * from documents;
create view v_titles as select id, title, marker from v_documents;
create materialized view mv_documents as select org_id, count(*) from documents group by org_id;
create function document_by_id(uuid) returns setof documents language sql security definer as 'select * from documents where id = $1';
create function touch() returns trigger language plpgsql security definer as 'begin return new; end';
create trigger touch before update on documents for each row execute function touch();
grant usage on schema public to uuid_app, uuid_report;
grant select, insert, update, delete, truncate, trigger, references on all tables in schema public to uuid_app;
grant select on documents, users to uuid_report;
grant select on tags to public;

insert into countries values ('de', 'Germany'), ('fr', 'France');
insert into organizations values ('11111111-1111-4111-8111-111111111111', 'a', 'A'), ('22222222-2222-4222-8222-222222222222', 'b', 'B');
do $$
declare m text; o uuid; i int; u uuid; d uuid; t uuid; v uuid; c uuid; e uuid; f uuid; n uuid; th uuid; p uuid;
begin
  for m, o in select marker, id from organizations loop
    for i in 1..3 loop
      u := gen_random_uuid(); d := gen_random_uuid(); t := gen_random_uuid(); v := gen_random_uuid(); c := gen_random_uuid(); e := gen_random_uuid(); f := gen_random_uuid();
      n := gen_random_uuid(); th := gen_random_uuid(); p := gen_random_uuid();
      insert into users values (u, o, m || i, 'de', m);
      insert into documents values (d, o, u, m || i, to_tsvector('simple', m || i), m);
      insert into tags values (t, o, m || i, m);
      insert into document_tags values (d, t, m);
      insert into versions values (v, d, i, m);
      insert into chunks values (c, v, m);
      insert into embeddings values (e, c, m);
      insert into neighbours values (gen_random_uuid(), e, 1, m);
      insert into attachments values (gen_random_uuid(), d, null, m), (gen_random_uuid(), null, u, m), (gen_random_uuid(), d, u, m);
      insert into folders values (f, o, null, m);
      insert into folders values (gen_random_uuid(), o, f, m);
      insert into nodes values (n, f, null, m);
      insert into nodes values (gen_random_uuid(), f, n, m);
      insert into threads values (th, o, null, m);
      insert into posts values (p, th, m);
      update threads set last_post = p where id = th;
      insert into notes values (gen_random_uuid(), o, m, m);
    end loop;
  end loop;
end $$;
refresh materialized view mv_documents;
