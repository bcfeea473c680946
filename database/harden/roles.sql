-- One line for each property of the role graph around the roles of the application: their attributes and settings, and
-- those of all roles that they are members of. The list of the application's roles stands in place of :roles.
with recursive reach as (
  select r.oid from pg_catalog.pg_roles r where r.rolname = any (:roles)
  union select m.roleid from pg_catalog.pg_auth_members m join reach on m.member = reach.oid
)
select l from (
  select 'role ' || r.oid::regrole || ' super=' || r.rolsuper || ' bypass=' || r.rolbypassrls || ' createrole=' || r.rolcreaterole || ' createdb=' || r.rolcreatedb
      || ' replication=' || r.rolreplication || ' login=' || r.rolcanlogin || ' inherit=' || r.rolinherit as l
    from pg_catalog.pg_roles r join reach on reach.oid = r.oid
  union all select 'member ' || m.member::regrole || ' of ' || m.roleid::regrole || ' admin=' || m.admin_option || ' inherit=' || coalesce(to_jsonb(m)->>'inherit_option', '-')
      || ' set=' || coalesce(to_jsonb(m)->>'set_option', '-') || ' by ' || coalesce(pg_get_userbyid(m.grantor)::text, '-')
    from pg_catalog.pg_auth_members m join reach on reach.oid = m.member
  union all select 'setting ' || s.setrole::regrole || ' ' || c
    from pg_catalog.pg_db_role_setting s join reach on reach.oid = s.setrole cross join unnest(s.setconfig) c where s.setdatabase = 0
) z
