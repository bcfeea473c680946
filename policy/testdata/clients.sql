-- pools and drivers, on connect, borrow and return
SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;
DISCARD ALL
DISCARD TEMP
DISCARD PLANS
DISCARD SEQUENCES
CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP
SET client_min_messages TO 'warning'
SET search_path TO shop,public
SET standard_conforming_strings = on
SET intervalstyle = iso_8601
SET SESSION timezone TO 'UTC'
SET client_min_messages TO warning;SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE;
SET DateStyle = 'ISO';SET extra_float_digits = 2;show transaction_isolation
SET extra_float_digits = 3
SET application_name = 'PostgreSQL JDBC Driver'
SET SESSION search_path TO 'shop'
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
set transaction isolation level repeatable read read write
SET default_transaction_isolation TO DEFAULT
SET client_encoding TO 'UTF8'
set timezone='Asia/Tokyo'
set local statement_timeout='200ms'
select set_config('statement_timeout','200',true)
set work_mem='8MB';
show work_mem;
reset work_mem;
reset all;
discard all;
-- transactions
BEGIN
BEGIN;
begin isolation level serializable read only deferrable
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
BEGIN READ WRITE
START TRANSACTION;
START TRANSACTION ISOLATION LEVEL SERIALIZABLE
COMMIT
END
ROLLBACK
ABORT
COMMIT AND CHAIN
SAVEPOINT "84139fdd-a639-47f8-b901-4fbb30fc3791-sp-1";
ROLLBACK TO SAVEPOINT "84139fdd-a639-47f8-b901-4fbb30fc3791-sp-1";
RELEASE SAVEPOINT pg_psql_temporary_savepoint
begin; select 1; insert into items(name) values ('ms'); rollback; select 'a;b' -- ;c ; ;
-- cursors and SQL-level prepared statements
DECLARE "named" CURSOR WITHOUT HOLD FOR select id from events order by id limit 5
declare "SQL_CUR" cursor with hold for select 42 as a
BEGIN;declare "SQL_CUR0" cursor with hold for select id from events;fetch 10 in "SQL_CUR0"
DECLARE pdo_crsr_00000007 SCROLL CURSOR WITH HOLD FOR select id from events order by id
DECLARE "_django_curs_1_sync_1" NO SCROLL CURSOR WITH HOLD FOR SELECT "events"."id", "events"."kind" FROM "events"
FETCH FORWARD 500 FROM "named"
FETCH NEXT FROM pdo_crsr_00000007
MOVE FORWARD 50 portal_1
MOVE -2 FROM "scr"
close "SQL_CUR0";commit
CLOSE ALL
prepare a(int) as select $1+1;
execute a(1);
deallocate a;
DEALLOCATE ALL
DEALLOCATE "_PLAN0x55b4e23e69b0"
-- pg_dump
SELECT pg_catalog.set_config('search_path', '', false);
SELECT pg_catalog.pg_is_in_recovery()
SET DATESTYLE = ISO
SET INTERVALSTYLE = POSTGRES
SET synchronize_seqscans TO off
SET statement_timeout = 0
SET lock_timeout = 0
SET idle_in_transaction_session_timeout = 0
SET row_security = on
LOCK TABLE customers IN ACCESS SHARE MODE
LOCK TABLE items IN ACCESS SHARE MODE NOWAIT
RESET search_path
DECLARE _pg_dump_cursor CURSOR FOR SELECT id, org_id, name FROM ONLY items
SELECT pg_catalog.pg_export_snapshot()
SET TRANSACTION SNAPSHOT '00000003-00026CE0-1'
-- what applications show
SHOW server_version
SHOW max_identifier_length
SHOW TIME ZONE
show transaction isolation level
SHOW ALL
select current_setting('application_name'), current_setting('statement_timeout'), current_setting('TimeZone')
select version(), current_database(), current_schema(), current_user, pg_backend_pid()
-- introspection of drivers and ORMs, in words of our own
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type AS t LEFT JOIN pg_range AS r ON t.oid = r.rngtypid WHERE t.typname IN ('int2', 'text')
SELECT oid, typarray FROM pg_type WHERE typcategory = 'A'
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, col_description(a.attrelid, a.attnum) FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attrelid = '"items"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
SELECT c.relname, n.nspname, c.relkind, obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE pg_table_is_visible(c.oid) AND n.nspname = ANY (current_schemas(false))
SELECT conname, contype, pg_get_constraintdef(oid, true), conrelid::regclass::text FROM pg_constraint WHERE conrelid = 'items'::regclass
SELECT i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), i.indkey, i.indisunique FROM pg_index i WHERE i.indrelid = 'items'::regclass::oid
SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
SELECT tc.constraint_name, kcu.column_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu USING (constraint_name, table_schema) JOIN information_schema.constraint_column_usage ccu ON ccu.constraint_name = tc.constraint_name
SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'TimeZone')
SELECT rolname, rolsuper FROM pg_roles
SELECT extname, extversion FROM pg_extension
SELECT e.enumlabel FROM pg_enum e JOIN pg_type t ON e.enumtypid = t.oid
SELECT p.proname, pg_get_function_identity_arguments(p.oid), l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
SELECT tablename FROM pg_tables WHERE schemaname = 'public' UNION SELECT viewname FROM pg_views
SELECT polname, pg_get_expr(polqual, polrelid) FROM pg_policy
SELECT sequencename, last_value FROM pg_sequences
SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
SELECT datname, pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()
SELECT has_schema_privilege('public', 'USAGE'), to_regclass('items') IS NOT NULL, pg_get_userbyid(10), txid_current()
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
SELECT inhrelid::regclass FROM pg_inherits; SELECT pg_get_partkeydef('items'::regclass)
SELECT * FROM pg_timezone_names LIMIT 1
SELECT collname FROM pg_collation
-- ordinary statements that look like attacks
SELECT 'SET ROLE x', 'set_config(''app.org_id'', ''B'', false)'
SELECT 1 AS set_config, 2 AS "pg_terminate_backend(1)"
SELECT count(*), max(created_at), coalesce(sum(price), 0), string_agg(name, ',' ORDER BY id), array_agg(DISTINCT kind) FILTER (WHERE active) FROM items GROUP BY ROLLUP (kind)
SELECT row_number() OVER (PARTITION BY kind ORDER BY id), lag(id) OVER w, percentile_cont(0.5) WITHIN GROUP (ORDER BY price) OVER () FROM items WINDOW w AS (ORDER BY id)
INSERT INTO items (id, name) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING *
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT * FROM t
WITH moved AS (DELETE FROM items WHERE id = 1 RETURNING *) INSERT INTO archive SELECT * FROM moved
SELECT i.*, e.value->>'k', meta @> '{"a": 1}', tags && ARRAY['a'] FROM items i CROSS JOIN LATERAL jsonb_array_elements(i.meta) e WHERE name ILIKE '%x%' AND created_at > now() - interval '1 day'
SELECT * FROM items WHERE id = ANY ($1::int[]) ORDER BY created_at AT TIME ZONE 'UTC' DESC NULLS LAST LIMIT 10 OFFSET 5 FOR UPDATE SKIP LOCKED
SELECT * FROM unnest($1::text[], $2::int[]) AS u(a, b); SELECT extract(epoch FROM now()), substring('abc' FROM 1 FOR 2), trim(both ' ' from name), position('a' in name) FROM items
SELECT json_build_object('a', 1), jsonb_set('{}', '{a}', '1'), to_tsvector('english', 'x') @@ plainto_tsquery('x'), ts_headline('x', to_tsquery('x')), md5('x'), gen_random_uuid()
MERGE INTO items i USING (SELECT 1 AS id) s ON i.id = s.id WHEN MATCHED THEN UPDATE SET name = 'x' WHEN NOT MATCHED THEN INSERT (id) VALUES (1)
EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM items
COPY items (id, name) FROM STDIN WITH (FORMAT csv)
COPY (SELECT * FROM items) TO STDOUT
VALUES (1, 'a'), (2, 'b')
TABLE items
SELECT pg_sleep(0)

-- pg_dump since 17.0, 16.4, 15.8, 14.13, 13.16
SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'
-- Sequelize: describeTable
SELECT pk.constraint_type as "Constraint",c.column_name as "Field", c.column_default as "Default",c.is_nullable as "Null", (CASE WHEN c.udt_name = 'hstore' THEN c.udt_name ELSE c.data_type END) || (CASE WHEN c.character_maximum_length IS NOT NULL THEN '(' || c.character_maximum_length || ')' ELSE '' END) as "Type", (SELECT array_agg(e.enumlabel) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_enum e ON t.oid=e.enumtypid WHERE t.typname=c.udt_name) AS "special", (SELECT pgd.description FROM pg_catalog.pg_statio_all_tables AS st INNER JOIN pg_catalog.pg_description pgd on (pgd.objoid=st.relid) WHERE c.ordinal_position=pgd.objsubid AND c.table_name=st.relname) AS "Comment" FROM information_schema.columns c LEFT JOIN (SELECT tc.table_schema, tc.table_name, cu.column_name, tc.constraint_type FROM information_schema.TABLE_CONSTRAINTS tc JOIN information_schema.KEY_COLUMN_USAGE  cu ON tc.table_schema=cu.table_schema and tc.table_name=cu.table_name and tc.constraint_name=cu.constraint_name and tc.constraint_type='PRIMARY KEY') pk ON pk.table_schema=c.table_schema AND pk.table_name=c.table_name AND pk.column_name=c.column_name WHERE c.table_name = 'items' AND c.table_schema = 'public'
