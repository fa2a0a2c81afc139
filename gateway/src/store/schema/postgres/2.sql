-- Secrets are sealed with the key file. Those that were there in clear are not taken over: whoever could read the database
-- could sign with them. A new key signs the log from its present end.
DELETE FROM head;
DELETE FROM secret;
-- Where the store was moved to, or from where it is being copied. They are columns of the row that every writing transaction
-- waits for, because a statement that has waited sees the row anew, and other tables as they were before.
ALTER TABLE log_end ADD COLUMN moved_to TEXT;
ALTER TABLE log_end ADD COLUMN copied_from TEXT;
-- The entries by which an administrator has accepted that the log had lost its end, by the head that was lost.
CREATE INDEX audit_accepted ON audit ((entry::json ->> 'lost')) WHERE entry LIKE '%"action":"accept-restore"%';
