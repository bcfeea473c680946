package audit

import "slices"

// Checks returns all checks, in order. This list is what a reviewer reads;
// nothing registers itself.
func Checks() []Check {
	return slices.Concat(
		rowSecurityChecks(),      // A101 to A103, A105 to A107, A109
		ownerChecks(),            // A104, A316
		classChecks(),            // A110, A111, A509
		policyExpressionChecks(), // A201 to A204, A208 to A218, A702, A703
		policyRoleChecks(),       // A205 to A207, A706
		roleChecks(),             // A301 to A303, A305, A306, A318
		grantChecks(),            // A307 to A310
		accessChecks(),           // A311, A312, A314, A315, A811
		defaultChecks(),          // A313, A317, A319
		viewChecks(),             // A401, A402, A406, A415
		functionChecks(),         // A403 to A405, A407, A411 to A414
		extensionChecks(),        // A408, A409
		tenantColumnChecks(),     // A501, A502, A506 to A508, A512
		foreignKeyChecks(),       // A503, A504, A514, A517, A704
		indexChecks(),            // A505, A701, A705
		dataChecks(),             // A601 to A604
		serverChecks(),           // A801 to A803, A805
		installationChecks(),     // A808, A810, A818, A820
		ownChecks(),              // A901 to A904
	)
}
