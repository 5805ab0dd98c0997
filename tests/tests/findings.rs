//! What hostile input has shown of the gateway, mended since.

use sga_tests::script::{Script, Simulated, run};

/// 65,536 datagrams of 10 bytes within 45 s (15 KB/s), from addresses that need not be real, once kept everybody out for those 45 s.
#[test]
fn strangers_do_not_lock_others_out() {
    let text = "# RFC 7252 §4.5: the table of message IDs, filled by strangers\n\
        from device\n\
        > CON POST 0x0001 Uri-Path=register payload=00\n\
        < ACK 4.01 0x0001 Echo=$echo\n\
        > CON POST 0x0002 Uri-Path=register Echo=$echo payload=00\n\
        < ACK 4.00 0x0002\n\
        repeat 64 as p\n\
        from P{p}\n\
        repeat 1023 as n\n\
        > hex 40 02 {n} b3 'kex' ff 00\n\
        < ACK 4.00 0x{n}\n\
        end\n\
        end\n\
        from Q\n\
        repeat 63 as n\n\
        > hex 40 02 {n} b3 'kex' ff 00\n\
        < ACK 4.00 0x{n}\n\
        end\n\
        from device\n\
        > CON GET 0x0003 token=01 Uri-Path=register\n\
        < ACK 2.05 0x0003 token=01\n";
    let script = Script::parse(text).expect("a script");
    run(&script, &mut Simulated::new(1)).expect("the device is served");
}
