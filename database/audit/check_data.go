package audit

// dataChecks report what was counted.
func dataChecks() []Check {
	return []Check{
		{
			ID: "A601", Name: "null_tenant_rows", Severity: High, Source: Rows, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "rows without a tenant",
			Why:   "They belong to nobody, and to everybody where a policy tolerates NULL.",
			Fix:   "Give them a tenant, or move them into a quarantine table, then SET NOT NULL.",
			Run:   func(f *Facts) []Finding { return f.counted("A601") },
		},
		{
			ID: "A602", Name: "orphan_rows", Severity: High, Source: Rows, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "rows of a tenant that does not exist",
			Why:   "The next tenant that gets this key gets the rows as well.",
			Fix:   "Delete them or move them into a quarantine table, then add the foreign key.",
			Run:   func(f *Facts) []Finding { return f.counted("A602") },
		},
		{
			ID: "A603", Name: "cross_tenant_rows", Severity: Critical, Source: Rows, CWE: "CWE-639", Controls: controlsIntegrity,
			Title: "rows that reference another tenant's row",
			Why:   "Data of two tenants is already mixed: a join shows one what belongs to the other, a cascade deletes it.",
			Fix:   "Find out which end is right, repair the rows, then make the foreign key composite.",
			Run:   func(f *Facts) []Finding { return f.counted("A603") },
		},
		{
			ID: "A604", Name: "dangling_rows", Severity: Medium, Source: Rows, CWE: "CWE-284", Controls: controlsIntegrity,
			Title: "rows that reference nothing",
			Why:   "The foreign key is missing or was never validated, and its rows point at keys that another tenant may get.",
			Fix:   "Repair or quarantine the rows, then add or validate the foreign key.",
			Run:   func(f *Facts) []Finding { return f.counted("A604") },
		},
	}
}

// counted are the findings of one data check.
func (f *Facts) counted(check string) []Finding {
	if f.Counts == nil {
		return nil
	}
	var found []Finding
	for _, c := range f.Counts.Counted {
		if c.Check != check {
			continue
		}
		rows := c.Rows
		finding := f.about(c.table, c.Object, plural(int(rows), "row", "rows")+" "+c.What).withEvidence(c.Show)
		finding.Count = &rows
		found = append(found, finding)
	}
	return found
}
