-- What the scripts of testdata/parity call, besides careless.sql.
CREATE FUNCTION parity_notice(t text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''note: %'', t USING HINT = ''a hint'', DETAIL = t; RETURN t; END';
CREATE FUNCTION parity_raise(t text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''raised: %'', t USING ERRCODE = ''P0042''; END';
CREATE FUNCTION parity_hint(t text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''raised'' USING DETAIL = t, HINT = t, COLUMN = t, CONSTRAINT = t, DATATYPE = t, TABLE = t, SCHEMA = t; END';
