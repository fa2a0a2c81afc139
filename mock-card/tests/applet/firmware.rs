//! The differences between firmware versions, in tables that are independent of the code.

use std::time::Duration;

use mock_card::applet::Exchange;
use mock_card::{Card, CardError, Firmware, PinPolicy, TouchPolicy, Traits, hex};

use crate::cards::{FIRMWARES, authenticate, bytes, card, known_key};

/// Asks a card of every firmware the same, and compares the answers.
fn differ(column: &str, question: impl Fn(&mut Card) -> Vec<u8>, answers: [&str; 7]) {
    for (firmware, wanted) in FIRMWARES.into_iter().zip(answers) {
        let mut card = card(firmware.parse().unwrap());
        card.transmit(&bytes("00A4040005A000000308"));
        let found = mock_card::hex::encode(&question(&mut card));
        assert_eq!(found, wanted.replace(' ', ""), "{column} on {firmware}");
    }
}

/// The answer to the last of several commands.
fn ask(commands: &'static [&str]) -> impl Fn(&mut Card) -> Vec<u8> {
    move |card| commands.iter().map(|command| card.transmit(&bytes(command))).last().unwrap()
}

/// The same after an authentication with the management key.
fn ask_authenticated(commands: &'static [&str]) -> impl Fn(&mut Card) -> Vec<u8> {
    move |card| {
        authenticate(card);
        ask(commands)(card)
    }
}

const NONE: &str = "6D00";
const SERIAL: &str = "00BC614E 9000";
const VERIFY: &str = "0020008008 313233343536FFFF";

#[test]
fn identity() {
    let versions = ["040307", "050207", "050301", "050403", "050701", "050704", "050704"];
    let versions = versions.map(|version| format!("{version}9000"));
    differ("version", ask(&["00FD0000"]), versions.each_ref().map(|version| &version[..]));
    differ("serial", ask(&["00F80000"]), [NONE, SERIAL, SERIAL, SERIAL, SERIAL, SERIAL, SERIAL]);
    let otp = &["00A4040007 A0000005272001", "00011000"];
    differ("serial of OTP", ask(otp), [SERIAL, NONE_SELECTED, SERIAL, SERIAL, SERIAL, SERIAL, SERIAL]);
    differ(
        "selecting OTP",
        ask(&["00A4040008 A000000527200101"]),
        [
            "040307 000000 000F0000 9000",
            "6A82",
            "050301 000000 000F0000 9000",
            "050403 000000 000F0000 9000",
            "050701 000000 000F0000 9000",
            "050704 000000 000F0000 9000",
            "050704 000000 000F0000 9000",
        ],
    );
    let info = &["00A4040008 A000000527471117", "001D0000"];
    let since_5_7 = "2003000000 2103000000 100101";
    let five = |version: &str, applications: &str, after: &str| {
        let (usb, nfc) = (
            format!("0102{applications} 0302{applications}"),
            format!("0D02{applications} 0E02{applications}"),
        );
        let length = if after.is_empty() { "2E" } else { "3B" };
        format!(
            "{length} {usb} 020400BC614E 040103 0503{version} 06020000 07010F 080100 {nfc} 0A0100 0F0100 {after} 9000"
        )
    };
    let pages = [
        "0C 0101FF 020400BC614E 03013F 9000".to_owned(),
        five("050207", "023F", ""),
        five("050301", "023F", ""),
        five("050403", "033F", ""),
        five("050701", "033F", since_5_7),
        five("050704", "033F", since_5_7),
        five("050704", "033F", since_5_7).replace("040103", "040183"),
    ];
    differ("device information", ask(info), pages.each_ref().map(|page| &page[..]));
    let otp_info = &["00A4040007 A0000005272001", "00011300"];
    let otp_pages = pages.each_ref().map(|page| if page.contains("050207") { NONE_SELECTED } else { page });
    differ("device information of OTP", ask(otp_info), otp_pages);
    let second = |fips: &str| {
        format!("29 110400000000 120100 130C 4D4F434B2D434152442D3035 {fips} 170100 18020000 9000")
    };
    let (standard, fips) = (second("14020000 15020000 160100"), second("1402001F 15020000 160101"));
    let info = &["00A4040008 A000000527471117", "001D0100"];
    differ(
        "its second page",
        ask(info),
        ["00 9000", "00 9000", "00 9000", "00 9000", &standard, &standard, &fips],
    );
}

#[test]
fn a_selection_with_another_p2() {
    let select = ask(&["00A4040C 06 D27600012401"]);
    differ("P2 = 0C", select, ["6D00", "6A86", "6A86", "6A86", "6A86", "6A86", "6A86"]);
}

/// The OTP application could not be selected. The PIV application is asked, which does not know the instruction.
const NONE_SELECTED: &str = "6D00";

#[test]
fn instructions() {
    let since_5_3 = ["6D00", "6D00", "6A88", "6A88", "6A88", "6A88", "6A88"];
    differ("metadata", ask(&["00F7009A"]), since_5_3);
    let since_5_4_3 = ["6A86", "6A86", "6A86", "9000", "9000", "9000", "9000"];
    differ("logout", ask(&["0020FF80"]), since_5_4_3);
    let since_5_7 = ["6D00", "6D00", "6D00", "6D00", "6A88", "6A88", "6A88"];
    differ("move", ask_authenticated(&["00F68382"]), since_5_7);
    differ("attestation of an empty slot", ask(&["00F99A00"]), ["6A80"; 7]);
}

#[test]
fn what_forgets_the_pin() {
    let asked = ["9000", "9000", "63C3", "9000", "9000", "9000", "9000"];
    differ("asking twice", ask(&[VERIFY, "00200080", "00200080"]), asked);
    let selected = ["63C3", "9000", "9000", "9000", "9000", "9000", "9000"];
    differ("selecting again", ask(&[VERIFY, "00A4040005A000000308", "00200080"]), selected);
    let failed = ["6D00", "9000", "9000", "9000", "9000", "9000", "9000"];
    differ("selecting nothing", ask(&[VERIFY, "00A4040006D27600012401", "00200080"]), failed);
    let wrong = ["63C2"; 7];
    differ("a wrong PIN", ask(&[VERIFY, "0020008008 303030303030FFFF", "00200080"]), wrong);
}

#[test]
fn empty_verify_of_the_oldest() {
    for (firmware, wanted) in [("4.3.1", [0x63, 0xC3]), ("4.3.2", [0x90, 0x00])] {
        let mut card = card(firmware.parse().unwrap());
        assert_eq!(ask(&["00A4040005A000000308", VERIFY, "00200080"])(&mut card), wanted, "{firmware}");
    }
}

#[test]
fn management_keys() {
    let of = |algorithm: &'static str| move |card: &mut Card| card.transmit(&bytes(algorithm))[..1].to_vec();
    differ("3DES first", of("0087039B04 7C028100"), ["7C", "7C", "7C", "7C", "6A", "6A", "6A"]);
    differ("AES-192 first", of("00870A9B04 7C028100"), ["6A", "6A", "6A", "6A", "7C", "7C", "7C"]);
    let aes = ["6A80", "6A80", "6A80", "9000", "9000", "9000", "9000"];
    differ("AES-128", ask_authenticated(&["00FFFFFF13 089B10 [0F*16]"]), aes);
    differ("AES-256", ask_authenticated(&["00FFFFFF23 0C9B20 [0F*32]"]), aes);
    let triple_des = ["9000", "9000", "9000", "9000", "9000", "9000", "6A80"];
    differ("3DES", ask_authenticated(&["00FFFFFF1B 039B18 [0F*24]"]), triple_des);
}

#[test]
fn algorithms() {
    let known = |command: &'static str| {
        move |card: &mut Card| {
            authenticate(card);
            let answer = card.transmit(&bytes(command));
            answer[..2].to_vec()
        }
    };
    let (yes, no) = ("7F49", "6A80");
    differ("P-256", known("0047009A05 AC03800111"), [yes; 7]);
    differ("P-384", known("0047009A05 AC03800114"), [yes; 7]);
    differ("RSA-1024", known("0047009A05 AC03800106"), [yes, yes, yes, yes, yes, yes, no]);
    differ("RSA-2048", known("0047009A05 AC03800107"), [yes; 7]);
    differ("RSA-3072", known("0047009A05 AC03800105"), [no, no, no, no, yes, yes, yes]);
    differ("Ed25519", known("0047009A05 AC038001E0"), [no, no, no, no, yes, yes, yes]);
    differ("X25519", known("0047009A05 AC038001E1"), [no, no, no, no, yes, yes, no]);
    let refused = ["6A80", "6A80", "6A80", "6A80", "9000", "9000", "9000"];
    differ("importing Ed25519", ask_authenticated(&["00FEE09A22 0720 [0F*32]"]), refused);
}

#[test]
fn policies() {
    let never = ["7F", "7F", "7F", "7F", "7F", "7F", "6A"];
    let first = |command: &'static str| {
        move |card: &mut Card| {
            authenticate(card);
            card.transmit(&bytes(command))[..1].to_vec()
        }
    };
    differ("PIN never", first("0047009A08 AC06800111AA0101"), never);
    let of_9e =
        ["6D00", "6D00", "020201019000", "020201019000", "020201019000", "020201019000", "020202019000"];
    let own = |card: &mut Card| {
        authenticate(card);
        card.transmit(&bytes("0047009E05 AC03800111"));
        let answer = card.transmit(&bytes("00F7009E"));
        match &answer[..] {
            [1, 1, 0x11, policies @ ..] => [&policies[..4], &[0x90, 0]].concat(),
            _ => answer,
        }
    };
    differ("the policy of 9E", own, of_9e);
    let short = ["9000", "9000", "9000", "9000", "9000", "9000", "6985"];
    differ("a PIN of six", ask(&["0024008010 313233343536FFFF 383337343932FFFF"]), short);
    let trivial = ["9000", "9000", "9000", "9000", "9000", "9000", "6985"];
    differ("a trivial PUK", ask(&["0024008110 3132333435363738 [31*8]"]), trivial);
    let beyond_ascii = ["9000", "9000", "9000", "9000", "6985", "6985", "6985"];
    differ("a PUK of other bytes", ask(&["0024008110 3132333435363738 [C3*8]"]), beyond_ascii);
}

/// The mode needs PIN, PUK and management key to be changed, all three.
#[test]
fn fips_approved_mode() {
    const STEPS: [&str; 3] = [
        "0024008010 313233343536FFFF 3833373439323631",
        "0024008110 3132333435363738 3631373439323833",
        "00FFFFFF13 089B10 [0F*16]",
    ];
    for (firmware, approved) in [("5.7.4-fips", 2), ("5.7.4", 0)] {
        for steps in 0..=STEPS.len() {
            let mut card = card(firmware.parse().unwrap());
            authenticate(&mut card);
            for step in &STEPS[..steps] {
                assert_eq!(card.transmit(&bytes(step)), [0x90, 0]);
            }
            card.transmit(&bytes("00A4040008 A000000527471117"));
            let page = card.transmit(&bytes("001D0100"));
            let wanted = [0x15, 2, 0, if steps == STEPS.len() { approved } else { 0 }];
            assert!(page.windows(4).any(|window| window == wanted), "{firmware}, {steps} steps");
        }
    }
}

#[test]
fn a_key_asks_for_a_touch_before_it_misses_its_pin() {
    for firmware in FIRMWARES {
        let mut card = card(firmware.parse().unwrap());
        card.import(0x9A, known_key("p384"), PinPolicy::Once, TouchPolicy::Always).unwrap();
        card.transmit(&bytes("00A4040005A000000308"));
        let sign = bytes("0087149A36 7C3482008130 [11*48]");
        assert_eq!(card.exchange(&sign, Duration::ZERO), Exchange::TouchWanted { slot: 0x9A }, "{firmware}");
        assert_eq!(card.finish(true, Duration::ZERO), [0x69, 0x82], "{firmware}");
    }
}

/// A YubiKey Bio has more PIN tries, no PUK, no OTP, and fingerprints.
#[test]
fn a_yubikey_bio() {
    let mut card = card(Firmware::new(5, 7, 2).bio());
    card.import(0x9A, known_key("p384"), PinPolicy::MatchOnce, TouchPolicy::Never).unwrap();
    card.import(0x9C, known_key("p384"), PinPolicy::MatchAlways, TouchPolicy::Never).unwrap();
    card.import(0x9E, known_key("p384"), PinPolicy::Once, TouchPolicy::Never).unwrap();
    let mut expect = |command: &str, answer: &str| {
        assert_eq!(hex::encode(&card.transmit(&bytes(command))), answer.replace(' ', ""), "{command}");
    };
    expect("00A4040008 A000000527200101", "6A82");
    expect("00A4040005 A000000308", "6111 4F0600001000010079074F05A000000308 9000");
    expect("00200080", "63C8");
    expect("00F70080", "0101FF 050101 06020808 9000");
    expect("00F70081", "0101FF 050100 06020000 9000");
    expect("00F70096", "070101 060103 080100 9000");
    expect("002C008010 3132333435363738 313233343536FFFF", "6983");
    let sign = |slot: &str| format!("008714{slot}36 7C3482008130 [11*48]");
    expect(&sign("9A"), "6982");
    expect("0020009602 0300", "9000");
    let mut signs = |slot: &str| card.transmit(&bytes(&sign(slot))).ends_with(&[0x90, 0]);
    assert_eq!(["9C", "9C", "9A", "9A", "9E"].map(&mut signs), [true, false, true, true, false]);
    let answer = card.transmit(&bytes("0020009602 0200"));
    let [temporary_pin @ .., 0x90, 0] = &answer[..] else { panic!("{answer:02X?}") };
    assert_eq!(temporary_pin, [0x5A; 16]);
    card.power_cycle();
    card.transmit(&bytes("00A4040005 A000000308"));
    assert_eq!(card.transmit(&bytes("0020009612 0110 [5A*16]")), [0x63, 0xC3], "it is forgotten");
    card.transmit(&bytes("0020009602 0200"));
    assert_eq!(card.transmit(&bytes("0020009612 0110 [5A*16]")), [0x90, 0]);
    assert!(card.transmit(&bytes("00F70096")).ends_with(&bytes("080101 9000")));
    assert!(card.transmit(&bytes(&sign("9A"))).ends_with(&[0x90, 0]));

    let mut other = self::card(Firmware::new(5, 7, 2));
    other.transmit(&bytes("00A4040005 A000000308"));
    assert_eq!(other.transmit(&bytes("00200096")), [0x6A, 0x88]);
    assert!(other.import(0x9A, known_key("p384"), PinPolicy::MatchOnce, TouchPolicy::Never).is_err());
}

#[test]
fn newer_firmware_is_like_the_newest_known() {
    let mut newer = card(Firmware::new(6, 0, 1));
    let mut newest = card(Firmware::new(5, 7, 4));
    for question in ["00A4040005A000000308", "00F80000", "00F7009B", "00F70080", "0020FF80", "00F99A00"] {
        assert_eq!(newer.transmit(&bytes(question)), newest.transmit(&bytes(question)), "{question}");
    }
    assert_eq!(newer.transmit(&bytes("00FD0000")), [6, 0, 1, 0x90, 0]);
}

#[test]
fn cards_that_cannot_be() {
    let mut fips = card(Firmware::new(5, 7, 4).fips()).with_traits(Traits::default());
    let refused = fips.import(0x9A, known_key("p384"), PinPolicy::Never, TouchPolicy::Never);
    assert_eq!(refused, Err(CardError::PinPolicy));
    let mut old = card(Firmware::new(5, 4, 3));
    let refused = old.import(0x9A, known_key("ed25519"), PinPolicy::Never, TouchPolicy::Never);
    assert!(matches!(refused, Err(CardError::Algorithm { .. })));
}
