/* Prints the greeting that lies in another store path. No C library: the program is a few kB. */
static long call(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

enum { READ = 0, WRITE = 1, OPEN = 2, EXIT = 60 };

void _start(void) {
    static char text[4096];
    long file = call(OPEN, (long)GREETING, 0, 0);
    long length = call(READ, file, (long)text, sizeof text);
    call(EXIT, length <= 0 || call(WRITE, 1, (long)text, length) != length, 0, 0);
    __builtin_unreachable();
}
