//! The script runner itself: it must be able to fail.

use sga_tests::script::{Script, Simulated, run};

fn outcome(text: &str) -> Result<(), String> {
    run(&Script::parse(text).expect("a script"), &mut Simulated::new(1))
}

const GET: &str = "# t\n> CON GET 0x0010 token=01 Uri-Path=register\n";

#[test]
fn names_the_line_and_what_came() {
    for (expected, reason) in [
        ("< ACK 2.04 0x0010", "line 3: not ACK 2.04"),
        ("< NON 2.05 0x0010", "line 3: not NON 2.05"),
        ("< ACK 2.05 0x0011", "line 3: another message ID: 0010"),
        ("< ACK 2.05 0x0010 token=02", "line 3: another token: 01"),
        ("< ACK 2.05 0x0010 Content-Format=0", "line 3: another option 12: 3c"),
        ("< ACK 2.05 0x0010 Max-Age=*", "line 3: no option 14"),
        ("< ACK 2.05 0x0010 ETag=none", "line 3: option 4 is there"),
        ("< ACK 2.05 0x0010 payload=none", "line 3: another payload"),
        ("< ACK 2.05 0x0010 contains='nothing'", "line 3: nothing says \"nothing\""),
        ("< ACK 2.05 0x0010 bytes<=10", "line 3: "),
        ("< ACK 2.05 0x0010 ETag=$t Content-Format=$t", "line 3: another option 12"),
        ("< silence", "line 3: not silent"),
        ("", "at the end, to A: not silent"),
        ("< ACK 2.05 0x0010\n< ACK 2.05 0x0010", "line 4: nothing came"),
        ("< ACK 2.05 0x0010\n> CON GET 0x0011 token=$t", "line 4: $t is not known"),
        ("from B\n< ACK 2.05 0x0010", "line 4: nothing came"),
    ] {
        let why = outcome(&format!("{GET}{expected}\n")).expect_err(expected);
        assert!(why.starts_with(reason), "{expected}: {why}");
    }
    assert_eq!(outcome(&format!("{GET}< ACK 2.05 0x0010 token=01 Content-Format=60 ETag=$t payload=*\n")), Ok(()));
}

#[test]
fn refuses_what_is_no_script() {
    for (text, reason) in [
        ("> CON 0x0001", "line 1: no `# title`"),
        ("# t\n? CON 0x0001", "line 2: no such step"),
        ("# t\n> SYN 0x0001", "line 2: no such type"),
        ("# t\n> CON GET", "line 2: no message ID"),
        ("# t\n> CON GET 0x01", "line 2: a message ID has four digits"),
        ("# t\n> CON GET 0x0001 Uri-Pth=x", "line 2: no such option: Uri-Pth"),
        ("# t\n> CON GET 0x0001 Block1=0/1/17", "line 2: a block is"),
        ("# t\n> CON GET 0x0001 token=0", "line 2: not in hex: 0"),
        ("# t\nrepeat 3 as n\n> CON 0x0001", "line 2: no end"),
        ("# t\nwait long", "line 2: wait"),
    ] {
        let why = Script::parse(text).expect_err(text);
        assert!(why.starts_with(reason), "{text}: {why}");
    }
}
