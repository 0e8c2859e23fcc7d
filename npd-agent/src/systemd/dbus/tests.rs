use super::*;

/// What `systemctl --user show thing` of systemd 252 sends for `GetAll`.
const GET_ALL: &[u8] = b"l\x01\0\x01\x05\0\0\0\x01\0\0\0\x9f\0\0\0\
    \x01\x01o\0.\0\0\0/org/freedesktop/systemd1/unit/thing_2eservice\0\0\
    \x03\x01s\0\x06\0\0\0GetAll\0\0\
    \x02\x01s\0\x1f\0\0\0org.freedesktop.DBus.Properties\0\
    \x06\x01s\0\x18\0\0\0org.freedesktop.systemd1\0\0\0\0\0\0\0\0\
    \x08\x01g\0\x01s\0\0\
    \0\0\0\0\0";

/// An answer to it: `a string`, in reply to serial 1.
const REPLY: &[u8] = b"l\x02\x01\x01\x0d\0\0\0\x01\0\0\0\x0f\0\0\0\
    \x05\x01u\0\x01\0\0\0\x08\x01g\0\x01s\0\0\
    \x08\0\0\0a string\0";

/// A signal, which nobody asked for.
const SIGNAL: &[u8] = b"l\x04\x01\x01\x09\0\0\0\x02\0\0\0\x15\0\0\0\
    \x03\x01s\0\x0c\0\0\0NameAcquired\0\0\0\0\
    \x04\0\0\0:1.1\0";

const ERROR_REPLY: &[u8] = b"l\x03\x01\x01\x08\0\0\0\x01\0\0\0\x1a\0\0\0\
    \x05\x01u\0\x01\0\0\0\x04\x01s\0\x09\0\0\0NoSuchBus\0\0\0\0\0\0\0\
    \x03\0\0\0why\0";

fn get_all() -> (Method<'static>, MessageWriter) {
    let mut arguments = MessageWriter::default();
    arguments.string("").unwrap();
    let method = Method {
        path: "/org/freedesktop/systemd1/unit/thing_2eservice",
        interface: "org.freedesktop.DBus.Properties",
        member: "GetAll",
        signature: "s",
    };
    (method, arguments)
}

/// Calls a bus that answers with `replies`.
async fn call(replies: &'static [u8]) -> anyhow::Result<Reader> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let serve = tokio::spawn(async move {
        let mut greeting = vec![0; 64];
        let length = theirs.read(&mut greeting).await.unwrap();
        assert!(greeting[..length].starts_with(b"\0AUTH EXTERNAL 3"));
        theirs.write_all(b"OK 0123456789abcdef\r\n").await.unwrap();
        let mut called = vec![0; 1024];
        assert!(theirs.read(&mut called).await.unwrap() > 0);
        theirs.write_all(replies).await.unwrap();
    });
    let mut connection = Connection::greet(ours).await?;
    let (method, arguments) = get_all();
    let answer = connection.call(method, &arguments).await;
    serve.await.unwrap();
    answer
}

#[test]
fn a_call_has_the_layout_of_systemctl_s() {
    // Only the order of the fields differs: systemctl writes the member before the interface.
    let (method, arguments) = get_all();
    let ours = message(1, "org.freedesktop.systemd1", method, &arguments).unwrap();
    assert_eq!(ours.len(), GET_ALL.len());
    assert_eq!(ours[..72], GET_ALL[..72]);
    let sorted = |message: &[u8]| {
        let mut bytes = message.to_vec();
        bytes.sort_unstable();
        bytes
    };
    assert_eq!(sorted(&ours), sorted(GET_ALL));
}

#[tokio::test]
async fn the_answer_is_found_among_signals() {
    let replies: &[u8] = [SIGNAL, REPLY].concat().leak();
    assert_eq!(call(replies).await.unwrap().string().unwrap(), "a string");
}

#[tokio::test]
async fn an_error_is_returned() {
    let error = call(ERROR_REPLY).await.unwrap_err();
    assert_eq!(error.to_string(), "GetAll: NoSuchBus: why");
}

#[tokio::test]
async fn an_answer_that_is_cut_or_too_long_is_refused() {
    assert!(call(&REPLY[..REPLY.len() - 1]).await.is_err());
    assert!(
        call(b"l\x02\x01\x01\xff\xff\xff\x7f\x01\0\0\0\x0f\0\0\0")
            .await
            .is_err()
    );
    assert!(
        call(b"B\x02\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0")
            .await
            .is_err()
    );
}
