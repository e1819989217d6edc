"""The project's own kernels for processors with AVX-512 VNNI, compiled once per machine by the C compiler at hand."""
