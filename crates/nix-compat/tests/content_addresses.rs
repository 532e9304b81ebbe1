//! Paths whose names follow from their content, as Nix 2.34 makes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use nix_compat::nar::Writer;
use nix_compat::{ContentAddress, StoreDir, StorePath};

/// A path: its name, references and address, and whether its content is `file`'s or a directory with
/// the file `f`.
struct Case {
    name: &'static str,
    references: &'static [&'static str],
    address: &'static str,
    in_directory: bool,
    content: &'static str,
}

const A: &str = "znvscj76jsnvyjqabi70np3mf4lm3gy4-a";
const SELF_OF_2_8: &str = "x2m52m6biznd1cldjqkbg7w4a1fdl9lr-selfold";
const SELF: &str = "3aj6qrdga4n88nccnzvbj7wi49vmzr36-self";

/// `nix-store --add`, `--add-fixed sha256`, `--add-fixed sha512`, `--add-fixed --recursive sha512`,
/// `builtins.toFile`, and `nix store make-content-addressed` of a path that refers to itself.
/// The last is by Nix 2.8, which also hashes the places where a path names itself.
const CASES: [Case; 7] = [
    Case {
        name: "hh0jwqmsbfc93z2prvb2x6qin9ir4mj1-d",
        references: &[],
        address: "fixed:r:sha256:1jpg5v8rcf4d08rlpq51vnd1w800l64h34r0bw4vkb6z3qlk089k",
        in_directory: true,
        content: "hi\n",
    },
    Case {
        name: "rkf79g8l9nv68w00j1z80zjn9aw7szx3-flat.txt",
        references: &[],
        address: "fixed:sha256:1xk2hhjr0f2n4adj1h688wlz59xpl86y1r8bd2pjasg8gy16mikb",
        in_directory: false,
        content: "flat\n",
    },
    Case {
        name: "mf9xmvbl2w1zsnb8bd0qxrz1c0wdh6q9-flat.txt",
        references: &[],
        address: "fixed:sha512:3rvcx0ivajks0jxxbw41351y2yhjm1zn16g86h4zqz2wri8x894ikiallfqb1c6nkkycb0xgfhrgkw6d1csgn78kwfkj2cy3dai4b4k",
        in_directory: false,
        content: "flat\n",
    },
    Case {
        name: "4p3q2fkfqsczb3f0i9s51k0vdyahdb83-d",
        references: &[],
        address: "fixed:r:sha512:2lkwjqizanpq3zjz3xmyfcvmcn2g2j5k798hdprqc9bqaz6s6zy229db2q56w9i3a93byi5h3ncbsznkg4pw6410hgylbnjlygf0p2a",
        in_directory: true,
        content: "hi\n",
    },
    Case {
        name: "yygxd1z4l7zi2pvrmz9nnabrv3p5g0an-b",
        references: &[A],
        address: "text:sha256:0qz8m80j1582gz8w8y69yq0jnjhm4wi4f7zcwjnf2xfi8a9009n3",
        in_directory: false,
        content: "refers to /nix/store/znvscj76jsnvyjqabi70np3mf4lm3gy4-a",
    },
    Case {
        name: SELF,
        references: &[SELF, "ay4a9sdys38wwlv0w1bp56q5wciy2f7f-a"],
        address: "fixed:r:sha256:1gdc6sfdaik4360x2hfk0cn4wfhw2p53gfymn305db5c4ak2n7lp",
        in_directory: false,
        content: "/nix/store/3aj6qrdga4n88nccnzvbj7wi49vmzr36-self \
            /nix/store/ay4a9sdys38wwlv0w1bp56q5wciy2f7f-a \
            /nix/store/3aj6qrdga4n88nccnzvbj7wi49vmzr36-self/x\n",
    },
    Case {
        name: SELF_OF_2_8,
        references: &[SELF_OF_2_8],
        address: "fixed:r:sha256:1slnzx24bp6sv8zmmm88agdcb089pzkj3ajswnb0liv0k51x87r2",
        in_directory: false,
        content: "/nix/store/x2m52m6biznd1cldjqkbg7w4a1fdl9lr-selfold \
            /nix/store/x2m52m6biznd1cldjqkbg7w4a1fdl9lr-selfold/x\n",
    },
];

fn path(name: &str) -> StorePath {
    StoreDir::default().parse_base_name(name).unwrap()
}

fn nar(case: &Case, executable: bool, content: &[u8]) -> Vec<u8> {
    let mut nar = Writer::new(Vec::new());
    let name: &[u8] = match case.in_directory {
        true => {
            nar.directory(b"").unwrap();
            b"f"
        }
        false => b"",
    };
    let mut bytes = content;
    nar.file(name, executable, bytes.len() as u64, &mut bytes)
        .unwrap();
    nar.finish().unwrap()
}

impl Case {
    fn references(&self) -> Vec<StorePath> {
        self.references.iter().map(|name| path(name)).collect()
    }

    /// Whether a NAR has the case's address, given in pieces of some length.
    fn takes(&self, nar: &[u8], piece: usize) -> bool {
        let (path, references) = (path(self.name), self.references());
        let address = ContentAddress::parse(self.address).unwrap();
        let hash = nix_compat::NarHash(<sha2::Sha256 as sha2::Digest>::digest(nar).into());
        if !address.fits(&hash, &path, &references) {
            return false;
        }
        let Some(mut check) = address.check(&path, &references) else {
            return true;
        };
        for piece in nar.chunks(piece) {
            check.update(piece);
        }
        check.finish().is_ok()
    }
}

#[test]
fn names_follow_from_addresses() {
    for case in &CASES {
        let (path, references) = (path(case.name), case.references());
        let address = ContentAddress::parse(case.address).unwrap();
        let found = address.store_path(&StoreDir::default(), &path, &references);
        assert_eq!(found.as_ref(), Some(&path), "{}", case.address);
        let more = [&references[..], &[self::path(A.replace('z', "y").as_str())]].concat();
        let found = address.store_path(&StoreDir::default(), &path, &more);
        assert_ne!(found.as_ref(), Some(&path), "{}", case.address);
        let other = StoreDir::new("/other/store").unwrap();
        let found = address.store_path(&other, &path, &references);
        assert_ne!(
            found.map(|found| found.hash().to_owned()).as_deref(),
            Some(path.hash())
        );
    }
}

#[test]
fn nars_have_their_addresses() {
    for case in &CASES {
        let right = nar(case, false, case.content.as_bytes());
        for piece in [1, 7, 33, 1000] {
            assert!(case.takes(&right, piece), "{} {piece}", case.address);
        }
        let mut content = case.content.as_bytes().to_vec();
        content[1] ^= 1;
        for wrong in [
            nar(case, true, case.content.as_bytes()),
            nar(case, false, &content),
            nar(case, false, &case.content.as_bytes()[1..]),
            right[..80].to_vec(),
            Vec::new(),
        ] {
            assert!(!case.takes(&wrong, 13), "{}", case.address);
        }
    }
}

#[test]
fn other_addresses_prove_nothing() {
    for text in [
        "",
        "fixed:",
        "fixed:r:sha256:x",
        "fixed:md5:1bsd3gzz4x1y2q7a1bsd3gzz4x",
        "fixed:sha1:kpcd173cq987hw957sx6m0868wv3x6d9",
        "fixed:git:sha1:kpcd173cq987hw957sx6m0868wv3x6d9",
        "text:sha512:3rvcx0ivajks0jxxbw41351y2yhjm1zn16g86h4zqz2wri8x894ikiallfqb1c6nkkycb0xgfhrgkw6d1csgn78kwfkj2cy3dai4b4k",
        "fixed:r:sha256:ijpg5v8rcf4d08rlpq51vnd1w800l64h34r0bw4vkb6z3qlk089",
    ] {
        assert_eq!(ContentAddress::parse(text), None, "{text}");
    }
}
