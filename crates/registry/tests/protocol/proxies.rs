//! Registries that only a proxy can reach.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::{env, thread};

use oci::Reference;
use registry::{Access, Client, Options, PlainHttp};

use crate::double::Double;
use crate::support::{Made, ONE_JOB, client, options, push};

/// Set in the process that goes through the proxy: the environment belongs to a whole process.
const ADDRESS: &str = "REGISTRY_BEHIND_PROXY";

/// Takes CONNECT requests, notes whom they want, and leads all of them to `target`.
fn proxy(target: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let wanted = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&wanted);
    thread::spawn(move || {
        for mut from in listener.incoming().flatten() {
            let mut reader = BufReader::new(from.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            noted.lock().unwrap().push(first.trim().to_owned());
            while first.trim() != "" {
                first.clear();
                reader.read_line(&mut first).unwrap();
            }
            from.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
            let mut to = TcpStream::connect(&target).unwrap();
            let (mut back_from, mut back_to) = (to.try_clone().unwrap(), from);
            thread::spawn(move || io::copy(&mut reader, &mut to));
            thread::spawn(move || io::copy(&mut back_from, &mut back_to));
        }
    });
    (address, wanted)
}

#[test]
fn the_environments_proxy_is_used_but_not_for_loopback() {
    if let Ok(name) = env::var(ADDRESS) {
        let client = Client::new(Options {
            plain_http: PlainHttp::Always,
            ..options()
        })
        .unwrap();
        let reference: Reference = name.parse().unwrap();
        let manifest = client
            .repository(&reference, Access::Pull)
            .manifest("v1")
            .unwrap();
        assert!(manifest.is_some());
        return;
    }
    let double = Double::start();
    push(&double, &client(), ONE_JOB(), &[&Made::known(1, 10)]).unwrap();
    let (proxy, wanted) = proxy(double.address.clone());
    let run = |name: &str, proxy: &str| {
        let test = "proxies::the_environments_proxy_is_used_but_not_for_loopback";
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args([test, "--exact"])
            .env_clear()
            .env(ADDRESS, name)
            .env("HTTPS_PROXY", proxy);
        command.output().unwrap()
    };
    let http = format!("http://{proxy}");
    let output = run("registry.example.org:5000/app", &http);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        *wanted.lock().unwrap(),
        ["CONNECT registry.example.org:5000 HTTP/1.1"]
    );
    let output = run(&format!("{}/app", double.address), &http);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        wanted.lock().unwrap().len(),
        1,
        "loopback was reached without it"
    );
    let output = run(
        "registry.example.org:5000/app",
        &format!("socks5://{proxy}"),
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("Proxy"), "{said}");
}
