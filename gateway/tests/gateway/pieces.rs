//! Crate files that are sent to a PostgreSQL piece by piece, and what becomes of pieces that were sent in vain.
#![cfg(target_os = "linux")]

use std::thread;

use crate::common::Upload;
use crate::common::database::Database;
use crate::common::machine::Machine;
use crate::several::{gateway, is_whole};

/// The database takes the first piece and no other, as one whose disk is full.
#[test]
fn pieces_of_an_upload_that_failed_are_removed() {
    let Some(database) = Database::new() else { return };
    let gateway = gateway(&database, |_| {});
    let machine = Machine::new(&gateway, 9, &["hello"]);
    let job = gateway.job(&machine);
    for (version, is_staged) in [("1.0.0", false), ("1.1.0", true)] {
        let upload = Upload::large("hello", version, 400 << 10);
        database.sql("ALTER TABLE piece ADD CONSTRAINT room CHECK (number = 0) NOT VALID");
        let send = || if is_staged { gateway.put_new(&job, &upload) } else { gateway.publish(&upload) };
        // Nothing is removed while somebody has the log's end.
        let holder = database.psql("BEGIN; SELECT layout FROM log_end FOR UPDATE;");
        let answer = send();
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert_eq!(
            database.sql(&format!("SELECT count(*) FROM piece WHERE cksum = '{}'", upload.checksum())),
            "1"
        );
        drop(holder);
        database.has_nothing_left_over();
        database.sql("ALTER TABLE piece DROP CONSTRAINT room");
        send().assert_ok();
    }
    is_whole(&database);
}

/// Two send the same pieces. One of them has found the other's there, and is given up.
#[test]
fn an_upload_whose_pieces_another_attempt_took_away_is_sent_again() {
    let Some(database) = Database::new() else { return };
    let gateway = gateway(&database, |_| {});
    let machine = Machine::new(&gateway, 9, &["hello"]);
    let job = gateway.job(&machine);
    for (version, is_staged) in [("1.0.0", false), ("1.1.0", true)] {
        let upload = Upload::large("hello", version, 400 << 10);
        let send = || if is_staged { gateway.put_new(&job, &upload) } else { gateway.publish(&upload) };
        let sent = format!("SELECT count(*) FROM piece WHERE cksum = '{}'", upload.checksum());
        let sending = database.hold("INSERT ON piece");
        thread::scope(|scope| {
            let publishing = scope.spawn(send);
            database.holds();
            // Pieces are removed by whoever has the log's end.
            let removing = database.psql("BEGIN; SELECT layout FROM log_end FOR UPDATE;");
            drop(sending);
            while database.sql(&sent) != "2" {}
            database.sql(&format!("DELETE FROM piece WHERE cksum = '{}'", upload.checksum()));
            drop(removing);
            let answer = publishing.join().unwrap();
            answer.assert_refused(503, "another attempt with the same file was given up");
            assert!(answer.field("retry-after").is_some());
        });
        database.sql("DROP TRIGGER wait ON piece");
        send().assert_ok();
    }
    database.has_nothing_left_over();
    is_whole(&database);
}

#[test]
fn pieces_of_uploads_that_ended_with_their_gateway() {
    let Some(database) = Database::new() else { return };
    let one = gateway(&database, |_| {});
    let upload = Upload::new("hello", "1.0.0");
    one.publish(&upload).assert_ok();
    database.sql(&format!(
        "INSERT INTO piece (cksum, number, bytes) VALUES ('dead', 0, 'x'), ('alive', 0, 'x'), ('both', 0, 'x');
         INSERT INTO upload SELECT 'alive', epoch FROM gateway;
         INSERT INTO upload SELECT 'both', epoch FROM gateway;
         INSERT INTO upload VALUES ('dead', '0'), ('both', '0'), ('{}', '0')",
        upload.checksum()
    ));
    let other = gateway(&database, |_| {});
    while database.sql("SELECT count(*) FROM upload WHERE epoch = '0'") != "0" {
        thread::yield_now();
    }
    let left =
        database.sql("SELECT string_agg(cksum, ' ' ORDER BY cksum) FROM piece WHERE length(cksum) < 64");
    assert_eq!(left, "alive both");
    assert_eq!(other.get("/api/v1/crates/hello/1.0.0/download").body, upload.file);
}
