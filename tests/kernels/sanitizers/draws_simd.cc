// The prior samples that the numerics draw, to compare the rest with. Compiled once per instruction
// set, like the numerics.

#include "normals.h"

namespace bbh {
namespace BBH_ISA {

void draw(const NormalStream& stream, int64_t first, int64_t count, float* out) {
  draw_normals(stream, first, count, out);
}
void draw(const NormalStream& stream, int64_t first, int64_t count, double* out) {
  draw_normals(stream, first, count, out);
}

}  // namespace BBH_ISA
}  // namespace bbh
