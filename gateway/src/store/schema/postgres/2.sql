-- Secrets are sealed with the key file. Those that were there in clear are not taken over: whoever could read the database
-- could sign with them.
DELETE FROM secret;
-- Where the store was moved to, or from where it is being copied. They are columns of the row that every writing transaction
-- waits for, because a statement that has waited sees the row anew, and other tables as they were before.
ALTER TABLE log_end ADD COLUMN moved_to TEXT;
ALTER TABLE log_end ADD COLUMN copied_from TEXT;
