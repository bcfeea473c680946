package verify

import "testing"

// Row security cannot apply to a foreign table: it is proven where the
// application may not read it, and listed as not proven where it may.
func TestForeignTables(t *testing.T) {
	p := newPlace(t, newest(t), rows+`CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
		CREATE FOREIGN TABLE far (org_id uuid) SERVER nowhere; CREATE FOREIGN TABLE near (org_id uuid) SERVER nowhere; GRANT SELECT ON near TO %app%`)
	for _, mode := range []Mode{Snapshot, Canary} {
		o := p.options(mode)
		o.Paths = []Path{Simple}
		if mode == Snapshot {
			o.Orgs = [2]string{orgA, orgB}
		}
		found := 0
		for _, rel := range run(t, o).Relations {
			switch rel.Name {
			case "public.far":
				found++
				if rel.Status != Pass || rel.Control != "denied" {
					t.Errorf("%s: without a privilege: %+v", mode, rel)
				}
			case "public.near":
				found++
				if rel.Status != NotProven || rel.Note == "" {
					t.Errorf("%s: with a privilege: %+v", mode, rel)
				}
			}
		}
		if found != 2 {
			t.Errorf("%s: %d foreign tables in the report, want 2", mode, found)
		}
	}
}
