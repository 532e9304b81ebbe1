//! An image out of an engine, as an archive.

use std::fs::File;
use std::io::{self, Read, Write as _};

use image::{spool_directory, spool_room};
use oci::reference::{DEFAULT_TAG, split_tag};

use crate::api::{Api, Store, check_name};
use crate::error::Error;
use crate::podman;

const WHAT: &str = "cannot save the image";

/// See [`crate::Engine::save`].
///
/// # Errors
///
/// As there.
pub(crate) fn save(engine: &Api, name: &str) -> Result<File, Error> {
    check_name(name)?;
    // Without a tag, Docker saves all images of the repository.
    let name = match split_tag(name) {
        (_, None) if !name.contains('@') => format!("{name}:{DEFAULT_TAG}"),
        _ => name.to_owned(),
    };
    let path = format!("{}/{name}", engine.images());
    // Not every engine answers 404 where it is to save an image that it does not have.
    let found = engine.client.get(WHAT, &format!("{path}/json"), &[])?;
    let query = match engine.store {
        Store::Podman => podman::AS_DOCKER_ARCHIVE,
        Store::Classic | Store::Containerd => &[],
    };
    let archive = match found {
        Some(_) => engine.client.archive(WHAT, &format!("{path}/get"), query)?,
        None => None,
    };
    let Some(mut archive) = archive else {
        return Err(Error::NoImage {
            engine: engine.name().to_owned(),
            name,
        });
    };
    let directory = spool_directory();
    let failed = |source| Error::Spool {
        directory: directory.clone(),
        source,
    };
    let mut file = tempfile::tempfile_in(&directory).map_err(failed)?;
    let room = spool_room(&directory).map_err(failed)?;
    let mut size = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match archive.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(engine.client.broken_archive(WHAT, error)),
        };
        size += count as u64;
        if size > room {
            let megabytes = room / 1_000_000;
            return Err(failed(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("it has more than {megabytes} MB, nine tenths of what was free there"),
            )));
        }
        file.write_all(&buffer[..count]).map_err(failed)?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use net::Endpoint;

    use super::*;
    use crate::client::Client;
    use crate::timeouts::Timeouts;

    /// Docker breaks the connection off where it cannot save the image to its end.
    #[test]
    fn an_archive_that_breaks_off_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let mut paths = Vec::new();
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
            ] {
                let (mut client, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let count = client.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                paths.extend(request.split(' ').nth(1).map(str::to_owned));
                client.write_all(answer.as_bytes()).unwrap();
            }
            paths
        });
        let engine = Api {
            client: Client::new(&Endpoint::Unix(path), Timeouts::default()),
            store: Store::Classic,
        };
        let error = save(&engine, "app").unwrap_err();
        assert!(matches!(error, Error::Connection { .. }), "{error}");
        let paths = server.join().unwrap();
        assert_eq!(paths, ["/images/app:latest/json", "/images/app:latest/get"]);
    }
}
