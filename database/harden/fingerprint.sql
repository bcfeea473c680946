-- One line for each property of the database that decides who reaches what, free of OIDs and of order. Access lists are
-- exploded with their defaults, so that one that was never written and the same one written out are equal.
-- The tables that migration tools keep their own books in are left out: a tool makes them before it runs the first file.
-- Every name that is printed is qualified, because the search_path of the transaction holds pg_catalog alone.
with ns as (
  select n.* from pg_catalog.pg_namespace n where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'supabase_migrations')
), rel as (
  select c.* from pg_catalog.pg_class c join ns on ns.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I')
    and c.relname !~ '^(schema_migrations|goose_db_version|flyway_schema_history)(_|$)'
), proc as (
  select p.* from pg_catalog.pg_proc p join ns on ns.oid = p.pronamespace
), acl as (
  select 'relation ' || c.oid::regclass as o, x.* from rel c
    cross join aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) x
    where c.relkind not in ('i', 'I')
  union all select 'column ' || a.attrelid::regclass || '.' || quote_ident(a.attname), x.*
    from pg_catalog.pg_attribute a join rel on rel.oid = a.attrelid cross join aclexplode(a.attacl) x where not a.attisdropped
  union all select 'function ' || p.oid::regprocedure, x.* from proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
  union all select 'schema ' || ns.oid::regnamespace, x.* from ns cross join aclexplode(coalesce(ns.nspacl, acldefault('n', ns.nspowner))) x
  union all select 'database', x.* from pg_catalog.pg_database d cross join aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
    where d.datname = current_database()
)
select l from (
  select 'database owner ' || pg_get_userbyid(datdba) as l from pg_catalog.pg_database where datname = current_database()
  union all select 'schema ' || nspname || ' ' || pg_get_userbyid(nspowner) from ns
  union all select 'acl ' || o || ' ' || case grantee when 0 then 'public' else grantee::regrole::text end || ' ' || privilege_type || ' ' || is_grantable || ' ' || grantor::regrole from acl
  union all select 'relation ' || c.oid::regclass || ' ' || c.relkind::text || ' ' || pg_get_userbyid(c.relowner) || ' rls=' || c.relrowsecurity || ' force=' || c.relforcerowsecurity
      || ' ' || coalesce((select string_agg(o, ',' order by o collate "C") from unnest(c.reloptions) o), '') from rel c
  union all select 'column ' || a.attrelid::regclass || ' ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) || ' not null=' || a.attnotnull
      || ' ' || a.attidentity::text || a.attgenerated::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    from pg_catalog.pg_attribute a join rel on rel.oid = a.attrelid left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and rel.relkind in ('r', 'p', 'v', 'm', 'f')
  union all select 'parent ' || i.inhrelid::regclass || ' ' || i.inhparent::regclass || ' ' || coalesce(pg_get_expr(rel.relpartbound, rel.oid), '')
    from pg_catalog.pg_inherits i join rel on rel.oid = i.inhrelid
  union all select 'view ' || rel.oid::regclass || ' ' || md5(pg_get_viewdef(rel.oid)) from rel where rel.relkind in ('v', 'm')
  union all select 'policy ' || p.polrelid::regclass || ' ' || quote_ident(p.polname) || ' ' || p.polcmd::text || ' ' || p.polpermissive || ' '
      || (select string_agg(case r when 0 then 'public' else r::regrole::text end, ',' order by (case r when 0 then 'public' else r::regrole::text end) collate "C") from unnest(p.polroles) r)
      || ' ' || coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' / ' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
    from pg_catalog.pg_policy p join rel on rel.oid = p.polrelid
  union all select 'function ' || p.oid::regprocedure || ' ' || pg_get_userbyid(p.proowner) || ' ' || md5(case when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid) else p.prosrc end) from proc p
  union all select 'constraint ' || case when k.conrelid = 0 then k.contypid::regtype::text else k.conrelid::regclass::text end || ' ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid) || ' ' || k.convalidated
    from pg_catalog.pg_constraint k where k.connamespace in (select oid from ns) and (k.conrelid = 0 or k.conrelid in (select oid from rel))
  union all select 'index ' || pg_get_indexdef(i.indexrelid) || ' valid=' || i.indisvalid from pg_catalog.pg_index i join rel on rel.oid = i.indexrelid
  union all select 'trigger ' || pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text from pg_catalog.pg_trigger t join rel on rel.oid = t.tgrelid where not t.tgisinternal
  union all select 'rule ' || w.ev_class::regclass || ' ' || quote_ident(w.rulename) || ' ' || w.ev_enabled::text || ' ' || md5(pg_get_ruledef(w.oid))
    from pg_catalog.pg_rewrite w join rel on rel.oid = w.ev_class
  union all select 'default ' || pg_get_userbyid(d.defaclrole) || ' ' || case d.defaclnamespace when 0 then '*' else d.defaclnamespace::regnamespace::text end || ' ' || d.defaclobjtype::text
      || ' ' || case x.grantee when 0 then 'public' else x.grantee::regrole::text end || ' ' || x.privilege_type || ' ' || x.is_grantable
    from pg_catalog.pg_default_acl d cross join aclexplode(d.defaclacl) x
  union all select 'setting ' || case s.setrole when 0 then '*' else s.setrole::regrole::text end || ' ' || c
    from pg_catalog.pg_db_role_setting s join pg_catalog.pg_database d on d.oid = s.setdatabase cross join unnest(s.setconfig) c where d.datname = current_database()
  union all select 'event trigger ' || quote_ident(evtname) || ' ' || evtevent || ' ' || evtfoid::regprocedure || ' ' || evtenabled::text from pg_catalog.pg_event_trigger
  union all select 'publication ' || quote_ident(pubname) || ' ' || puballtables from pg_catalog.pg_publication
  union all select 'published ' || quote_ident(p.pubname) || ' ' || r.prrelid::regclass from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
  union all select 'extension ' || extname || ' ' || extversion from pg_catalog.pg_extension
) z
