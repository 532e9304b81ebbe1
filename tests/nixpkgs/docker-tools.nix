# nixpkgs' helpers for the contents of an image, under their names. Its builders are not here: the
# overlay puts this repository's in their place.
{
  runCommand,
  writeTextDir,
  bash,
  coreutils,
  cacert,
  lib,
}@args:
{
  override = change: import ./docker-tools.nix (args // change);
  # Examples are made with the builders that they are given.
  examples = lib.makeOverridable ({ buildLayeredImage }: { layered = buildLayeredImage { name = "layered"; }; }) {
    buildLayeredImage = throw "nixpkgs' own builder, which is not here";
  };

  binSh = runCommand "bin-sh" { } ''
    mkdir -p "$out/bin"
    ln -s ${bash}/bin/bash "$out/bin/sh"
  '';
  usrBinEnv = runCommand "usr-bin-env" { } ''
    mkdir -p "$out/usr/bin"
    ln -s ${coreutils}/bin/env "$out/usr/bin/env"
  '';
  caCertificates = runCommand "ca-certificates" { } ''
    mkdir -p "$out/etc/ssl/certs" "$out/etc/pki/tls/certs"
    for name in ssl/certs/ca-bundle.crt ssl/certs/ca-certificates.crt pki/tls/certs/ca-bundle.crt; do
      ln -s ${cacert}/etc/ssl/certs/ca-bundle.crt "$out/etc/$name"
    done
  '';
  fakeNss = runCommand "fake-nss" { } ''
    mkdir -p "$out/etc" "$out/var/empty"
    printf '%s\n' root:x:0:0:root:/var/empty:/bin/sh nobody:x:65534:65534:nobody:/var/empty:/bin/sh \
      > "$out/etc/passwd"
    printf '%s\n' root:x:0: nobody:x:65534: > "$out/etc/group"
    echo 'hosts: files dns' > "$out/etc/nsswitch.conf"
  '';
}
