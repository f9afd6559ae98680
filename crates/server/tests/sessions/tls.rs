//! Encrypted connections, and logging in without a password.

use std::net::SocketAddr;
use std::sync::Arc;

use logpond_amqp::{Method, PROTOCOL_HEADER};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rstest::rstest;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::{Client, FRAME_MAX, ONE};
use crate::served::Served;

/// An authority, the server's certificate, and the user ann's.
struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        let authority = Self { directory, issuer };
        authority.sign(
            "server",
            &CertificateParams::new(vec!["localhost".to_owned()]).unwrap(),
        );
        let mut ann = CertificateParams::default();
        ann.distinguished_name.push(DnType::CommonName, "ann");
        authority.sign("ann", &ann);
        authority
    }

    fn sign(&self, name: &str, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |kind| self.directory.path().join(format!("{name}.{kind}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
    }

    /// Configuration of a server with this authority's certificate.
    fn settings(&self, more: &str) -> String {
        let path = |name| self.directory.path().join(name);
        format!(
            "[auth]\nmechanisms = ['PLAIN', 'AMQPLAIN', 'EXTERNAL']\n[tls]\nlisten = ['127.0.0.1:0']\n\
             certificate = {:?}\nkey = {:?}\nclient_ca = {:?}\nlogin_from = 'common_name'\n{more}",
            path("server.pem"),
            path("server.key"),
            path("ca.pem")
        )
    }

    /// A client that shows this user's certificate, or none.
    fn client(&self, user: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match user {
            None => builder.with_no_client_auth(),
            Some(user) => {
                let path = |kind| self.directory.path().join(format!("{user}.{kind}"));
                let certificate = CertificateDer::from_pem_file(path("pem")).unwrap();
                let key = PrivateKeyDer::from_pem_file(path("key")).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        }
    }
}

/// An address whose connections reach the server encrypted, so that the client of the other tests can be used.
async fn tunnel(server: SocketAddr, config: ClientConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((mut plain, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let socket = TcpStream::connect(server).await?;
                let mut encrypted = connector.connect("localhost".try_into().unwrap(), socket).await?;
                copy_bidirectional(&mut plain, &mut encrypted).await
            });
        }
    });
    address
}

async fn served(authority: &Authority, more: &str) -> Served {
    let document = authority.directory.path().join("definitions.json");
    let permissions = r#"{"vhosts": [{"name": "/"}],
        "users": [{"name": "ann", "tags": []}, {"name": "guest", "password": "guest", "tags": ["administrator"]}],
        "permissions": [
            {"user": "ann", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
            {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]}"#;
    std::fs::write(&document, permissions).unwrap();
    let settings = authority.settings(more);
    Served::start_with(&format!("definitions = {document:?}\n{settings}")).await
}

/// The mechanisms that the server offers.
async fn offered(address: SocketAddr) -> String {
    let mut client = Client::connect(address).await;
    client.write(&PROTOCOL_HEADER).await;
    let received = client.receive().await;
    let Method::ConnectionStart(start) = received.method() else {
        panic!("{:?}", received.method())
    };
    String::from_utf8(start.mechanisms.to_vec()).unwrap()
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(131_065)]
#[case(5_000_000)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_sizes_pass_an_encrypted_connection(#[case] size: usize) {
    let authority = Authority::new();
    let served = served(&authority, "").await;
    let address = tunnel(served.tls_addresses[0], authority.client(None)).await;
    let mut client = Client::open_channel(address).await;
    client.declare(ONE, "q").await;
    let body: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
    client.publish(ONE, "", "q", &body).await;
    assert!(client.get(ONE, "q").await.unwrap() == body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_the_user_that_its_certificate_names() {
    let authority = Authority::new();
    let served = served(&authority, "").await;
    let address = tunnel(served.tls_addresses[0], authority.client(Some("ann"))).await;
    let mut client = Client::connect(address).await;
    client.greet("EXTERNAL", b"").await;
    client.tune(2047, FRAME_MAX, 0).await;
    client.open_vhost("/").await;
    assert!(matches!(
        client.receive().await.method(),
        Method::ConnectionOpenOk(_)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_external_is_refused_and_a_password_still_works() {
    let authority = Authority::new();
    let served = served(&authority, "").await;
    let address = tunnel(served.tls_addresses[0], authority.client(None)).await;
    let mut client = Client::connect(address).await;
    client.greet("EXTERNAL", b"").await;
    let (code, text) = client.connection_closed().await;
    assert_eq!(code, 403);
    assert!(text.starts_with("ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL"));
    Client::open(address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn external_is_offered_to_encrypted_connections_only() {
    let authority = Authority::new();
    let served = served(&authority, "").await;
    let address = tunnel(served.tls_addresses[0], authority.client(None)).await;
    assert_eq!(offered(address).await, "PLAIN AMQPLAIN EXTERNAL");
    assert_eq!(offered(served.address).await, "PLAIN AMQPLAIN");
    let mut client = Client::connect(served.address).await;
    client.greet("EXTERNAL", b"").await;
    assert_eq!(client.connection_closed().await.0, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_certificates_are_required_nobody_comes_without_one() {
    let authority = Authority::new();
    let served = served(&authority, "client_certificates = 'required'\n").await;
    let address = tunnel(served.tls_addresses[0], authority.client(None)).await;
    let mut client = Client::connect(address).await;
    let _ = tokio::io::AsyncWriteExt::write_all(&mut client.socket, &PROTOCOL_HEADER).await;
    assert!(client.read_to_end().await.is_empty());
    let address = tunnel(served.tls_addresses[0], authority.client(Some("ann"))).await;
    Client::open(address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_no_tls_to_the_encrypted_port_is_turned_away() {
    let authority = Authority::new();
    let served = served(&authority, "").await;
    let mut client = Client::connect(served.tls_addresses[0]).await;
    client.write(&PROTOCOL_HEADER).await;
    // A TLS alert at most, and no frame.
    assert!(client.read_to_end().await.len() < 10);
    let address = tunnel(served.tls_addresses[0], authority.client(None)).await;
    Client::open(address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_clients_come_in_where_they_are_given_a_user_and_nowhere_else() {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    client.greet("ANONYMOUS", b"").await;
    let (code, text) = client.connection_closed().await;
    assert_eq!(
        (code, text.as_str()),
        (
            503,
            "COMMAND_INVALID - unknown authentication mechanism 'ANONYMOUS'"
        )
    );
    let open = Served::start_with("[auth]\nmechanisms = ['ANONYMOUS']\nanonymous_user = 'guest'\n").await;
    assert_eq!(offered(open.address).await, "ANONYMOUS");
    let mut client = Client::connect(open.address).await;
    client.greet("ANONYMOUS", b"").await;
    client.tune(2047, FRAME_MAX, 0).await;
    client.open_vhost("/").await;
    assert!(matches!(
        client.receive().await.method(),
        Method::ConnectionOpenOk(_)
    ));
}
