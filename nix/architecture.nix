# The name that images have for a platform's processor: Go's.
platform:
platform.go.GOARCH or {
  aarch64 = "arm64";
  armv6l = "arm";
  armv7l = "arm";
  i686 = "386";
  x86_64 = "amd64";
}
.${platform.parsed.cpu.name} or platform.parsed.cpu.name
