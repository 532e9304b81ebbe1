# What is wrong with the types in an image's `config`: a list of sentences. Docker and podman refuse an
# image whose configuration does not fit the specification, but only after all of it was sent.
# The types are those of the OCI image specification's `config`, and of Docker's `Healthcheck`.
lib: config:
let
  inherit (builtins)
    all
    attrValues
    isAttrs
    isBool
    isInt
    isList
    isPath
    isString
    ;

  # What is text in JSON: packages and paths become their store paths.
  isText = value: isString value || isPath value || (isAttrs value && (value ? outPath || value ? __toString));
  isSet = value: isAttrs value && !isText value;
  isTexts = value: isList value && all isText value;

  texts = {
    is = isTexts;
    name = "a list of strings";
  };
  text = {
    is = isText;
    name = "a string";
  };
  keys = {
    is = value: isSet value && all (entry: entry == null || isSet entry) (attrValues value);
    name = "an attribute set whose names count, such as { \"8080/tcp\" = { }; }";
  };
  number = {
    is = isInt;
    name = "a number";
  };
  nanoseconds = {
    is = isInt;
    name = "a number of nanoseconds (30 s are 30000000000)";
  };
  boolean = {
    is = isBool;
    name = "true or false";
  };
  fields = {
    User = text;
    WorkingDir = text;
    StopSignal = text;
    Entrypoint = texts;
    Cmd = texts;
    Env = texts;
    Shell = texts;
    OnBuild = texts;
    ExposedPorts = keys;
    Volumes = keys;
    Labels = {
      is = value: isSet value && all isText (attrValues value);
      name = "an attribute set of strings";
    };
    Healthcheck = {
      is = isSet;
      name = "an attribute set";
    };
    ArgsEscaped = boolean;
    StopTimeout = number;
    # Of Docker's own configurations; images have them no longer.
    Hostname = text;
    Domainname = text;
    Image = text;
    MacAddress = text;
    AttachStdin = boolean;
    AttachStdout = boolean;
    AttachStderr = boolean;
    Tty = boolean;
    OpenStdin = boolean;
    StdinOnce = boolean;
    NetworkDisabled = boolean;
  };
  healthcheck = {
    Test = texts;
    Interval = nanoseconds;
    Timeout = nanoseconds;
    StartPeriod = nanoseconds;
    StartInterval = nanoseconds;
    Retries = number;
  };

  wrong =
    prefix: types: values:
    lib.concatMap (
      name:
      let
        value = values.${name};
        type = types.${name};
      in
      lib.optional (types ? ${name} && value != null && !type.is value) "${prefix}.${name} has to be ${type.name}"
    ) (builtins.attrNames values);
in
if config == null then
  [ ]
else if !isSet config then
  [ "config has to be an attribute set" ]
else
  wrong "config" fields config
  ++ lib.optionals (isSet (config.Healthcheck or null)) (
    wrong "config.Healthcheck" healthcheck config.Healthcheck
  )
