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
		storedSetting(), tenantSetting(), settingName(), literalReading(), rowSecurityOff(), searchPath(), pgSettings(), changingValue(),
		// identity and privilege
		setRole(), sessionAuthorization(), grants(), roleDDL(), policies(), ownership(),
		settingNotAllowed(), // after the rules that name one setting
		// statement kinds that are refused whatever they name
		doBlock(), copyOutside(), twoPhase(), serverWide(), maintenance(), ddl(), shadowTable(),
		// functions
		sqlTextFunction(), hostFunction(), otherSessionsFunction(), largeObject(), sequenceFunction(), advisoryLock(),
		roleFunction(), definerFunction(), unsafeFunction(), extensionFunction(), contextFunction(), unknownFunction(), attributeFunction(),
		// statement kinds that are refused for what they name
		truncate(), lockTable(), channels(),
		// relations
		unprotectedTable(), ownerView(), materializedView(), partition(), foreignTable(), indirectTable(), systemRelation(), unknownRelation(),
		// what is left
		unknownKind(),
		// tenant data
		otherOrgLiteral(), otherOrgParameter(), noOrgPicked(), orgNotGranted(),
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
