-- Tables that hang on others, with more rows than one batch, a trigger that notes every update, and one without a sure link.
-- app: denormal_app
-- root: public.orgs
-- a: 00000000-0000-0000-0000-00000000000a
-- b: 00000000-0000-0000-0000-00000000000b
do $$ begin
  if not exists (select from pg_roles where rolname = 'denormal_app') then create role denormal_app login password 'denormal_app'; end if;
end $$;
create table orgs (id uuid primary key, marker text not null);
create table docs (id bigint primary key, "orgId" uuid not null references orgs on delete cascade, marker text not null);
create table "Chunks" (id bigint generated always as identity primary key, doc_id bigint not null references docs on delete cascade, touched int not null default 0, marker text not null);
create table embeddings (id bigint generated always as identity primary key, chunk_id bigint not null references "Chunks" on delete cascade, marker text not null);
create table notes (id bigint generated always as identity primary key, embedding_id bigint references embeddings, chunk_id bigint not null references "Chunks", marker text not null);
create table loose (id bigint generated always as identity primary key, chunk_id bigint references "Chunks", marker text not null);
create function touch() returns trigger language plpgsql as $$ begin new.touched := old.touched + 1; return new; end $$;
create trigger touch before update on "Chunks" for each row execute function touch();
grant select, insert, update, delete on all tables in schema public to denormal_app;

insert into orgs values ('00000000-0000-0000-0000-00000000000a', 'A'), ('00000000-0000-0000-0000-00000000000b', 'B');
insert into docs select row_number() over (order by marker), id, marker from orgs;
insert into docs values (3, '00000000-0000-0000-0000-00000000000b', 'B');
insert into "Chunks" (doc_id, marker) select d.id, d.marker from docs d, generate_series(1, 2600) where d.id < 3;
insert into embeddings (chunk_id, marker) select id, marker from "Chunks" where id % 100 < 2;
insert into notes (embedding_id, chunk_id, marker) select id, chunk_id, marker from embeddings where id < 9;
insert into loose (chunk_id, marker) select id, marker from "Chunks" where id % 1000 < 2;
