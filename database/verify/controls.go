package verify

// controls says which controls the report supports, and with what. A report
// is evidence for an auditor, not a verdict on anybody's compliance.
func controls() []Control {
	return []Control{
		{"SOC 2 CC6.1", "supports: logical access; outcome of every probe and attack, for all relations and not a sample"},
		{"SOC 2 CC6.3", "supports: least privilege; commands that the application's role was refused"},
		{"SOC 2 CC6.6", "supports: boundary; each refusal of the proxy with the number of its record in the blocked-query log"},
		{"SOC 2 CC7.2", "supports: monitoring; the records show that attacks are noticed"},
		{"SOC 2 CC8.1", "supports: change management; fingerprints of the catalogue before and after"},
		{"SOC 2 C1.1", "supports: confidentiality; class of each relation, coverage"},
		{"GDPR Art. 5(1)(f), 25, 32(1)(b)", "supports: isolation as a measure by design"},
		{"GDPR Art. 32(1)(d)", "supports: regular testing; this dated run, chained to the one before"},
		{"HIPAA 164.312(a)(1), (a)(2)(i)", "supports: access control by org; logins refused without a valid token"},
		{"HIPAA 164.312(b)", "supports: audit controls; the blocked-query log"},
		{"HIPAA 164.312(c)(1)", "supports: integrity; writes into another org refused"},
		{"HIPAA 164.312(d)", "supports: authentication; forged and expired contexts refused"},
		{"ISO/IEC 27001:2022 A.8.24", "supports: use of cryptography; signatures that are forged, replayed, expired or by a retired key are refused, where the context is signed"},
		{"ISO/IEC 27001:2022 A.5.15, A.8.3", "supports: access control and restriction of access to information"},
	}
}
