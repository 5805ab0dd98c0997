//! What a device that pads sends and gets.

use sga_crypto::{PkPurpose, Secret, sha256, steps};
use sga_schema::padding::{self, MARK_LEN, decode_padded, unpad_text};
use sga_schema::{
    A1, Ack, AckSecret, Attach, AttachSecret, Confirmation, Grant, Inbox, InboxSecret, Message, MessageItem,
    MessagePost, NegotiateSecret, Register, Registered, Role, Sealed, SealedId, decode,
};

use super::File;

/// Decodes what has to be padded.
fn padded<'a, T: Message<'a>>(bytes: &'a [u8], fits: bool) -> T {
    let (message, padded) = decode_padded(bytes, fits).expect("a padded message");
    assert!(padded);
    message
}

impl File {
    pub(super) fn padding(&mut self, root: &Secret<32>) {
        self.padded_registration();
        self.padded_attach();
        let bytes = self.get("A1 padded payload");
        let Sealed(sealed) = decode(&bytes).expect("A1");
        self.same("A1 padded sealed", sealed);
        let inside = self.pk_open("A1", PkPurpose::Negotiate, sealed, "A1 padded plaintext");
        let NegotiateSecret::Invite(A1 { tag, .. }) = padded(&inside, inside.len() == padding::A1_LEN) else {
            panic!("A1 inside")
        };
        self.same("A1 tag", tag);

        let inside = self.padded_message(root, 0);
        let confirmation: Confirmation = padded(&inside, inside.len() == padding::CONFIRMATION_LEN);
        assert_eq!(confirmation, Confirmation { last: 0 });
        let inside = self.padded_message(root, 1);
        assert!(padding::is_text_len(inside.len()));
        let (text, mark) = inside.split_at(inside.len() - MARK_LEN);
        let run = self.number("run");
        self.same("message 1 padded mark", mark);
        assert_eq!(mark, steps::traffic(root, self.aead, Role::Initiator.id()).padding_mark(run, 1));
        self.same("text", unpad_text(text, inside.len()).expect("a padded text"));
        let inbox = self.padded_inbox(Role::Responder, "message 1 padded notification", 4);
        let inbox: InboxSecret<'_> = padded(&inbox, true);
        let item = inbox.items.iter().next().expect("an item");
        let item: MessageItem<'_> = decode(item.body).expect("a message item");
        self.same("message 1 padded ciphertext", item.ciphertext);
    }

    fn padded_registration(&mut self) {
        let request = self.get("register padded payload");
        let Register { sealed_key, sealed_id } = decode(&request).expect("register");
        self.same("register 0 A", sealed_key);
        let k_d = self.key("k_d i");
        let key = steps::register_id(self.aead, &k_d, &sha256(sealed_key));
        let inside = self.open(key, sealed_id, "register padded B", "register padded B plaintext");
        let SealedId(id) = padded(&inside, sealed_id.len() == padding::ID_SEALED_LEN);
        self.same("ID i", id.as_bytes());
        let bytes = self.get("registered padded payload");
        let Registered { nonce, sealed } = decode(&bytes).expect("registered");
        self.same("registered nonce", nonce);
        let key = steps::registered(self.aead, &k_d, &sha256(&request), &nonce);
        let inside = self.open(key, sealed, "registered padded G", "registered padded plaintext");
        let grant: Grant = padded(&inside, sealed.len() == padding::GRANT_SEALED_LEN);
        self.same("ticket i", grant.ticket);
    }

    fn padded_attach(&mut self) {
        let bytes = self.get("attach padded payload");
        let Attach { ticket, nonce, sealed } = decode(&bytes).expect("attach");
        self.same("ticket i", ticket);
        let key = steps::attach(self.aead, &self.key("k_d i"), &nonce);
        let inside = self.open(key, sealed, "attach padded S", "attach padded plaintext");
        let secret: AttachSecret = padded(&inside, sealed.len() == padding::ATTACH_SEALED_LEN);
        assert_eq!(secret.attach_number, 1);
        let inside = self.padded_inbox(Role::Initiator, "inbox padded", 0);
        let inbox: InboxSecret<'_> = padded(&inside, true);
        self.same("next ticket i", inbox.next.expect("a next ticket").ticket);

        let bytes = self.get("ack padded payload");
        let Ack { ticket, counter, sealed } = decode(&bytes).expect("ack");
        self.same("ticket j", ticket);
        let key = steps::ack(self.aead, &self.key("k_d j"), &self.array("n_a j"), counter);
        let inside = self.open(key, sealed, "ack padded S", "ack padded plaintext");
        assert_eq!(padded::<AckSecret>(&inside, sealed.len() == padding::ACK_SEALED_LEN).cursor, 1);
    }

    fn padded_inbox(&mut self, to: Role, name: &str, counter: u32) -> Vec<u8> {
        let bytes = self.get(&format!("{name} payload"));
        let len = decode::<Inbox<'_>>(&bytes).expect(name).sealed.len();
        assert_eq!(padding::inbox_sealed_len(len), len, "{name}");
        self.inbox(to, name, counter)
    }

    fn padded_message(&mut self, root: &Secret<32>, sequence: u32) -> Vec<u8> {
        let name = format!("message {sequence} padded");
        let bytes = self.get(&format!("{name} payload"));
        let post: MessagePost<'_> = decode(&bytes).expect(&name);
        assert_eq!((post.sequence, post.salt), (sequence, None));
        let hop = steps::hop_tag(&self.key("hop key i"), &post.handle.0, post.run, sequence, post.ciphertext, None);
        assert_eq!(hop, post.hop_tag, "{name}");
        self.same(&format!("{name} hop"), hop);
        self.same(&format!("{name} ciphertext"), post.ciphertext);
        let mut text = post.ciphertext.to_vec();
        let key = steps::traffic(root, self.aead, Role::Initiator.id());
        let len = key.open(post.run, sequence, &mut text).expect("a message opens");
        text.truncate(len);
        self.same(&format!("{name} plaintext"), &text);
        text
    }
}
