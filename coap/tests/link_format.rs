//! Discovery (RFC 6690): the document and its filters.
use sga_coap::link_format::{Link, MAX_FILTERS, filtered};

fn links() -> Vec<Link> {
    vec![
        Link::new("/link1").with("rt", "Type1 Type2").with("if", "If1").with("sz", "10").with("title", "one, two"),
        Link::new("/link2").with("rt", "Type2").with("if", "foo").with("ct", "0 41").with_flag("obs"),
        Link::new("/path/link3").with("rt", "other"),
    ]
}

fn found(filters: &[&str]) -> Vec<&'static str> {
    let filters: Vec<Vec<u8>> = filters.iter().map(|filter| filter.as_bytes().to_vec()).collect();
    let text = filtered(&links(), &filters).expect("well-formed");
    ["/link1", "/link2", "/path/link3"].into_iter().filter(|target| text.contains(&format!("<{target}>"))).collect()
}

#[test]
fn the_document() {
    let text = filtered(&links(), &[]).expect("no filter");
    let expected = "</link1>;rt=\"Type1 Type2\";if=\"If1\";sz=10;title=\"one, two\",\
                    </link2>;rt=\"Type2\";if=\"foo\";ct=\"0 41\";obs,</path/link3>;rt=\"other\"";
    assert_eq!(text, expected);
}

#[test]
fn filters() {
    for (filter, targets) in [
        ("rt=Type1", vec!["/link1"]),
        ("rt=Type2", vec!["/link1", "/link2"]),
        ("rt=Type*", vec!["/link1", "/link2"]),
        ("rt=*", vec!["/link1", "/link2", "/path/link3"]),
        ("rt=Type", vec![]),
        ("rt=Type1 Type2", vec![]),
        ("if=If*", vec!["/link1"]),
        ("sz=*", vec!["/link1"]),
        ("sz=10", vec!["/link1"]),
        ("href=/link1", vec!["/link1"]),
        ("href=/link*", vec!["/link1", "/link2"]),
        ("ct=41", vec!["/link2"]),
        ("ct=4", vec![]),
        ("obs=", vec!["/link2"]),
        ("title=one, two", vec!["/link1"]),
        ("unknown=x", vec![]),
        ("=x", vec![]),
    ] {
        assert_eq!(found(&[filter]), targets, "{filter}");
    }
    assert_eq!(found(&["rt=Type2", "if=foo"]), ["/link2"], "each has to let it through");
}

#[test]
fn what_is_no_filter() {
    assert_eq!(filtered(&links(), &[b"rt".to_vec()]), None);
    assert_eq!(filtered(&links(), &[Vec::new()]), None);
    assert!(filtered(&links(), &vec![b"rt=*".to_vec(); MAX_FILTERS]).is_some());
    assert_eq!(filtered(&links(), &vec![b"rt=*".to_vec(); MAX_FILTERS + 1]), None);
    assert_eq!(filtered(&links(), &[b"rt=\xff\xfe*".to_vec()]).as_deref(), Some(""), "any bytes may come");
}
