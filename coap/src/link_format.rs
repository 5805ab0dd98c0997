//! What there is to be found: links in RFC 6690's format, and the filters of its §4.1.
//!
//! ```
//! use sga_coap::link_format::{Link, filtered};
//!
//! let links = [Link::new("/msg").with("rt", "sga.msg").with("ct", "60").with_flag("obs")];
//! assert_eq!(filtered(&links, &[b"rt=sga.*".to_vec()]), Some("</msg>;rt=\"sga.msg\";ct=60;obs".to_owned()));
//! assert_eq!(filtered(&links, &[b"rt=other".to_vec()]), Some(String::new()));
//! ```

/// `application/link-format`.
pub const CONTENT_FORMAT: u16 = 40;

/// The path at which links are found (RFC 6690 §4).
pub const PATH: [&str; 2] = [".well-known", "core"];

/// Filters in one request; with more it is malformed. RFC 6690 knows one.
pub const MAX_FILTERS: usize = 4;

/// A resource and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    target: String,
    attributes: Vec<(&'static str, Option<String>)>,
}

impl Link {
    /// A link to an absolute path.
    pub fn new(target: impl Into<String>) -> Link {
        Link { target: target.into(), attributes: Vec::new() }
    }

    /// Adds an attribute. Several values of `rt`, `if` and `rel` are separated by spaces; quotes have no place in a value.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Link {
        self.attributes.push((name, Some(value.into())));
        self
    }

    /// Adds an attribute without a value, such as `obs`.
    pub fn with_flag(mut self, name: &'static str) -> Link {
        self.attributes.push((name, None));
        self
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.target);
        out.push('>');
        for (name, value) in &self.attributes {
            out.push(';');
            out.push_str(name);
            let Some(value) = value else { continue };
            // One integer may go bare; all else is quoted (RFC 6690 §2).
            if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
                out.push('=');
                out.push_str(value);
            } else {
                out.push_str("=\"");
                out.push_str(value);
                out.push('"');
            }
        }
    }

    /// Whether a filter `name=value` lets the link through. A value that ends in `*` is a prefix; `rt`, `if` and `rel` have
    /// several values, one of which is to match; `href` is the target.
    fn matches(&self, name: &[u8], value: &[u8]) -> bool {
        let fits = |own: &str| match value.split_last() {
            Some((b'*', prefix)) => own.as_bytes().starts_with(prefix),
            _ => own.as_bytes() == value,
        };
        if name == b"href" {
            return fits(&self.target);
        }
        let mut of_name = self.attributes.iter().filter(|(own, _)| own.as_bytes() == name);
        of_name.any(|(own, own_value)| {
            let own_value = own_value.as_deref().unwrap_or_default();
            match *own {
                "rt" | "if" | "rel" | "ct" => own_value.split(' ').any(fits),
                _ => fits(own_value),
            }
        })
    }
}

/// The links that all filters let through, as a document; `None` if a filter has no `=` or there are too many.
pub fn filtered(links: &[Link], filters: &[Vec<u8>]) -> Option<String> {
    if filters.len() > MAX_FILTERS {
        return None;
    }
    let mut pairs = Vec::with_capacity(filters.len());
    for filter in filters {
        let at = filter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = filter.split_at(at);
        pairs.push((name, value.get(1..).unwrap_or_default()));
    }
    let mut out = String::new();
    for link in links.iter().filter(|link| pairs.iter().all(|(name, value)| link.matches(name, value))) {
        if !out.is_empty() {
            out.push(',');
        }
        link.write(&mut out);
    }
    Some(out)
}
