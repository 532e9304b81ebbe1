{
  default = {
    path = ./static-binary;
    description = "An image of one static program";
  };
}
