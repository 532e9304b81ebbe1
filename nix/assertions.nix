# Gives `value` if all assertions about an image hold; else throws the message of the first that does
# not, before anything is built.
lib: name: assertions: value:
lib.foldr (
  { holds, message }: lib.throwIfNot holds "in docker image ${name}: ${message}"
) value assertions
