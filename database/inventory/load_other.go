package inventory

import "context"

func (l *loader) extensions(ctx context.Context) error {
	const query = `SELECT e.extname::text, e.extversion, n.nspname::text, pg_get_userbyid(e.extowner)::text
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname::text COLLATE "C"`
	var e Extension
	return l.each(ctx, "extensions", query, nil, []any{&e.Name, &e.Version, &e.Schema, &e.Owner}, func() error {
		l.s.Extensions = append(l.s.Extensions, e)
		return nil
	})
}

// publications reads what is published. Schemas and row filters are of 15.
func (l *loader) publications(ctx context.Context) error {
	var p Publication
	const query = `SELECT pubname::text, pg_get_userbyid(pubowner)::text, puballtables FROM pg_publication ORDER BY pubname::text COLLATE "C"`
	err := l.each(ctx, "publications", query, nil, []any{&p.Name, &p.Owner, &p.AllTables}, func() error {
		l.s.Publications = append(l.s.Publications, p)
		return nil
	})
	if err != nil {
		return err
	}
	byName := make(map[string]*Publication)
	for i := range l.s.Publications {
		byName[l.s.Publications[i].Name] = &l.s.Publications[i]
	}
	filter := "''"
	if l.s.Server.Major() >= publishedSchemasSince {
		filter = "COALESCE(pg_get_expr(r.prqual, r.prrelid), '')"
	}
	tables := `SELECT p.pubname::text, n.nspname::text, c.relname::text, ` + filter + `
FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1, 2, 3`
	var name string
	var t PublishedTable
	err = l.each(ctx, "published tables", tables, nil, []any{&name, &t.Table.Schema, &t.Table.Name, &t.RowFilter}, func() error {
		if p := byName[name]; p != nil {
			p.Tables = append(p.Tables, t)
		}
		return nil
	})
	if err != nil || l.s.Server.Major() < publishedSchemasSince {
		return err
	}
	const schemas = `SELECT p.pubname::text, n.nspname::text
FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_namespace n ON n.oid = s.pnnspid ORDER BY 1, 2`
	var schema string
	return l.each(ctx, "published schemas", schemas, nil, []any{&name, &schema}, func() error {
		if p := byName[name]; p != nil {
			p.Schemas = append(p.Schemas, schema)
		}
		return nil
	})
}

// publishedSchemasSince is the version with FOR TABLES IN SCHEMA and row
// filters.
const publishedSchemasSince = 15

// foreign reads foreign servers and who is whom on them. The view
// pg_user_mappings is readable by all, its options left out.
func (l *loader) foreign(ctx context.Context) error {
	const servers = `
SELECT s.srvname::text, pg_get_userbyid(s.srvowner)::text, w.fdwname::text, ` + exploded + `
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw CROSS JOIN aclexplode(COALESCE(s.srvacl, acldefault('S', s.srvowner))) x
ORDER BY s.srvname::text COLLATE "C", 4, 5, 7, 6`
	var s ForeignServer
	var g Grant
	err := l.each(ctx, "foreign servers", servers, nil, append([]any{&s.Name, &s.Owner, &s.Wrapper}, scanGrant(&g)...), func() error {
		list := l.s.ForeignServers
		if n := len(list); n > 0 && list[n-1].Name == s.Name {
			list[n-1].Grants = append(list[n-1].Grants, g)
			return nil
		}
		server := s
		server.Grants = []Grant{g}
		l.s.ForeignServers = append(list, server)
		return nil
	})
	if err != nil {
		return err
	}
	const mappings = `SELECT srvname::text, CASE umuser WHEN 0 THEN 'public' ELSE pg_get_userbyid(umuser)::text END FROM pg_user_mappings ORDER BY 1, 2`
	var m UserMapping
	return l.each(ctx, "user mappings", mappings, nil, []any{&m.Server, &m.Role}, func() error {
		l.s.UserMappings = append(l.s.UserMappings, m)
		return nil
	})
}

func (l *loader) eventTriggers(ctx context.Context) error {
	const query = `SELECT evtname::text, pg_get_userbyid(evtowner)::text, evtevent::text, evtenabled::text, evtfoid FROM pg_event_trigger ORDER BY evtname::text COLLATE "C"`
	var e EventTrigger
	var enabled string
	var function uint32
	return l.each(ctx, "event triggers", query, nil, []any{&e.Name, &e.Owner, &e.Event, &enabled, &function}, func() error {
		trigger := e
		trigger.Enabled, trigger.Function = enabled[0], l.functions[function]
		l.s.EventTriggers = append(l.s.EventTriggers, trigger)
		return nil
	})
}

// cluster reads large objects and the replication slots that reach this
// database.
func (l *loader) cluster(ctx context.Context) error {
	var o LargeObjects
	const objects = `SELECT pg_get_userbyid(lomowner)::text, count(*) FROM pg_largeobject_metadata GROUP BY lomowner ORDER BY 1`
	err := l.each(ctx, "large objects", objects, nil, []any{&o.Owner, &o.Count}, func() error {
		l.s.LargeObjects = append(l.s.LargeObjects, o)
		return nil
	})
	if err != nil {
		return err
	}
	var s ReplicationSlot
	const slots = `SELECT slot_name::text, COALESCE(plugin::text, ''), COALESCE(database::text, ''), active
FROM pg_replication_slots WHERE NOT temporary AND (database IS NULL OR database = current_database()) ORDER BY 1`
	return l.each(ctx, "replication slots", slots, nil, []any{&s.Name, &s.Plugin, &s.Database, &s.Active}, func() error {
		l.s.ReplicationSlots = append(l.s.ReplicationSlots, s)
		return nil
	})
}
