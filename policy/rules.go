package policy

// Rules returns all rules, in the order in which they are asked: the first
// violation is the one that is reported, so the rule that says most about a
// statement comes before the rule that would refuse its whole kind.
func Rules() []Rule {
	return []Rule{
		// what could not be read
		unparseable(), unclassified(), tooLarge(), tooDeep(), notText(),
		// protocol and session
		startupParameter(), replication(), fastpath(), clientEncoding(),
		// settings
		storedSetting(), tenantSetting(), settingName(), literalReading(), rowSecurityOff(), searchPath(), pgSettings(),
		// identity and privilege
		setRole(), sessionAuthorization(), grants(), roleDDL(), policies(), ownership(),
		settingNotAllowed(), // after the rules that name one setting
		// functions
		sqlTextFunction(), hostFunction(), otherSessionsFunction(), largeObject(), sequenceFunction(), advisoryLock(),
		roleFunction(), definerFunction(), unsafeFunction(), extensionFunction(), unknownFunction(), attributeFunction(),
		// statement kinds that name what they endanger
		doBlock(), copyOutside(), truncate(), lockTable(), channels(), twoPhase(), shadowTable(), serverWide(), maintenance(), ddl(),
		// relations
		unprotectedTable(), ownerView(), materializedView(), partition(), foreignTable(), indirectTable(), systemRelation(), unknownRelation(),
		// what is left
		unknownKind(),
		// tenant data
		otherOrgLiteral(), otherOrgParameter(),
	}
}

// ruleByID returns a rule, nil if there is none of that id.
func ruleByID(id string) *Rule {
	rules := Rules()
	for i := range rules {
		if rules[i].ID == id {
			return &rules[i]
		}
	}
	return nil
}
