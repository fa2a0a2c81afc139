REVOKE ALL ON ALL TABLES IN SCHEMA public FROM gateway;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO gateway;
GRANT INSERT ON audit, head TO gateway;
GRANT UPDATE (is_only) ON log_end TO gateway;
GRANT UPDATE ON revision TO gateway;
GRANT INSERT, UPDATE ON "user", key, crate, version, counted, forgotten TO gateway;
GRANT INSERT, UPDATE, DELETE ON invite, credential, open_intent, open_reason, in_doubt, spent, offered TO gateway;
GRANT INSERT ON secret, published, file TO gateway;
GRANT INSERT, DELETE ON piece TO gateway;
