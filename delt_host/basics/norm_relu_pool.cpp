// Instance norm with weight and bias, ReLU and 2 x 2 average pooling in one pass over each map: forward, backward and double backward.
//
// Maps are (N, H, W, C): channels_last. A piece of work is one image and up to 64 of its channels, which stay in the cache; no sum
// crosses pieces, so the number of threads changes no bit. Sums go by rows and then over rows; mean and variance take a pass each,
// since E[x^2] - m^2 cancels. An odd last row or column is in the statistics, and in no pool: only its gradient through these counts.
// Callers check shapes, layout and types (norm_relu_pool.py).

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr int64_t BLOCK = 64;

struct Bf16 { uint16_t bits; };

inline float get(Bf16 x) { uint32_t wide = uint32_t(x.bits) << 16; float value; std::memcpy(&value, &wide, 4); return value; }
inline float get(float x) { return x; }
inline double get(double x) { return x; }
inline void put(float& x, float value) { x = value; }
inline void put(double& x, double value) { x = value; }
inline void put(Bf16& x, float value) {  // to the nearest, ties to even; what is not a number stays so
  uint32_t wide; std::memcpy(&wide, &value, 4);
  uint32_t rounded = (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
  x.bits = uint16_t(value == value ? rounded : 0x7fc0);
}

struct Shape { int64_t images, height, width, channels; };

// Of a piece: its image, first channel and number of channels, at most BLOCK.
template <class F> void pieces(const Shape& s, int threads, F work) {
  const int64_t blocks = (s.channels + BLOCK - 1) / BLOCK, all = s.images * blocks;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t each = 0; each < all; each++) {
    const int64_t first = each % blocks * BLOCK;
    work(each / blocks, first, s.channels - first < BLOCK ? s.channels - first : BLOCK);
  }
}

// total[k][c] += sum over pixels of what `add(place, sums)` adds to sums[k][c]; by rows first.
template <int K, class A, class F> inline void over_pixels(const Shape& s, int64_t n, A (&total)[K][BLOCK], F add) {
  for (int k = 0; k < K; k++) for (int64_t c = 0; c < n; c++) total[k][c] = 0;
  for (int64_t y = 0; y < s.height; y++) {
    A row[K][BLOCK];
    for (int k = 0; k < K; k++) for (int64_t c = 0; c < n; c++) row[k][c] = 0;
    for (int64_t x = 0; x < s.width; x++) add(y, x, row);
    for (int k = 0; k < K; k++) for (int64_t c = 0; c < n; c++) total[k][c] += row[k][c];
  }
}

template <class T, class A>
void forward(const T* in, const A* weight, const A* bias, A eps, T* out, A* means, A* scales, Shape s, int threads) {
  const int64_t C = s.channels, W = s.width, h = s.height / 2, w = W / 2;
  pieces(s, threads, [=](int64_t image, int64_t first, int64_t n) {
    const T* x = in + image * s.height * W * C + first;
    A* mean = means + image * C + first; A* scale = scales + image * C + first;
    const A *wt = weight + first, *bs = bias + first;
    A sum[1][BLOCK], m[BLOCK], a[BLOCK], b[BLOCK];
    over_pixels(s, n, sum, [&](int64_t y, int64_t at, A (&row)[1][BLOCK]) {
      const T* p = x + (y * W + at) * C;
      for (int64_t c = 0; c < n; c++) row[0][c] += get(p[c]);
    });
    const A share = A(1) / A(s.height * W);
    for (int64_t c = 0; c < n; c++) mean[c] = m[c] = sum[0][c] * share;
    over_pixels(s, n, sum, [&](int64_t y, int64_t at, A (&row)[1][BLOCK]) {
      const T* p = x + (y * W + at) * C;
      for (int64_t c = 0; c < n; c++) { const A d = get(p[c]) - m[c]; row[0][c] += d * d; }
    });
    for (int64_t c = 0; c < n; c++) {
      scale[c] = A(1) / std::sqrt(sum[0][c] * share + eps);
      a[c] = wt[c] * scale[c]; b[c] = bs[c];
    }
    T* o = out + image * h * w * C + first;
    for (int64_t y = 0; y < h; y++) for (int64_t at = 0; at < w; at++) {
      const T *p = x + (2 * y * W + 2 * at) * C, *q = p + W * C; T* r = o + (y * w + at) * C;
      // Asked for, since gcc 12 finds the four places of p and q too complicated to do it by itself, and takes five times as long.
#pragma omp simd
      for (int64_t c = 0; c < n; c++) {
        const A z0 = (get(p[c]) - m[c]) * a[c] + b[c], z1 = (get(p[c + C]) - m[c]) * a[c] + b[c];
        const A z2 = (get(q[c]) - m[c]) * a[c] + b[c], z3 = (get(q[c + C]) - m[c]) * a[c] + b[c];
        // z <= 0 and not z > 0: what is not a number passes ReLU.
        put(r[c], A(0.25) * (((z0 <= 0 ? 0 : z0) + (z1 <= 0 ? 0 : z1)) + ((z2 <= 0 ? 0 : z2) + (z3 <= 0 ? 0 : z3))));
      }
    }
  });
}

template <class T, class A>
void backward(const T* grad, const T* in, const A* weight, const A* bias, const A* means, const A* scales, T* grad_in,
              A* grad_weights, A* grad_biases, Shape s, int threads) {
  const int64_t C = s.channels, W = s.width, h = s.height / 2, w = W / 2;
  pieces(s, threads, [=](int64_t image, int64_t first, int64_t n) {
    const T *x = in + image * s.height * W * C + first, *g = grad + image * h * w * C + first;
    T* d = grad_in + image * s.height * W * C + first;
    const A *wt = weight + first, *bs = bias + first;
    A sum[2][BLOCK], m[BLOCK], r[BLOCK], a[BLOCK], b[BLOCK], k0[BLOCK], k1[BLOCK];
    for (int64_t c = 0; c < n; c++) {
      m[c] = means[image * C + first + c]; r[c] = scales[image * C + first + c];
      a[c] = wt[c] * r[c]; b[c] = bs[c];
    }
    Shape pooled = s; pooled.height = 2 * h; pooled.width = 2 * w;
    over_pixels(pooled, n, sum, [&](int64_t y, int64_t at, A (&row)[2][BLOCK]) {
      const T *p = x + (y * W + at) * C, *q = g + (y / 2 * w + at / 2) * C;
      for (int64_t c = 0; c < n; c++) {
        const A v = get(p[c]) - m[c], of = v * a[c] + b[c] <= 0 ? A(0) : A(0.25) * get(q[c]);
        row[0][c] += of; row[1][c] += of * v;
      }
    });
    const A share = A(1) / A(s.height * W);
    for (int64_t c = 0; c < n; c++) {
      const A of_weight = sum[1][c] * r[c];
      grad_biases[image * C + first + c] = sum[0][c]; grad_weights[image * C + first + c] = of_weight;
      k0[c] = a[c] * share * sum[0][c]; k1[c] = a[c] * share * of_weight * r[c];
    }
    for (int64_t y = 0; y < s.height; y++) for (int64_t at = 0; at < W; at++) {
      const T* p = x + (y * W + at) * C; T* to = d + (y * W + at) * C;
      if (y >= 2 * h || at >= 2 * w) {
        for (int64_t c = 0; c < n; c++) put(to[c], -(k0[c] + k1[c] * (get(p[c]) - m[c])));
        continue;
      }
      const T* q = g + (y / 2 * w + at / 2) * C;
      for (int64_t c = 0; c < n; c++) {
        const A v = get(p[c]) - m[c], of = v * a[c] + b[c] <= 0 ? A(0) : A(0.25) * get(q[c]) * a[c];
        put(to[c], of - (k0[c] + k1[c] * v));
      }
    }
  });
}

// The gradients of <u, grad_in> + <uw, grad_weight> + <ub, grad_bias>, as `backward` gives these, to grad, in and weight; to bias it
// is 0. With x' = (x - m) r, g the gradient before pooling and means over a map: S = mean(u g) - mean(u) mean(g) - mean(u x') mean(g x').
template <class T, class A>
void double_backward(const T* u_in, const A* uw, const A* ub, const T* grad, const T* in, const A* weight, const A* bias,
                     const A* means, const A* scales, T* to_grad, T* to_in, A* to_weights, Shape s, int threads) {
  const int64_t C = s.channels, W = s.width, h = s.height / 2, w = W / 2;
  pieces(s, threads, [=](int64_t image, int64_t first, int64_t n) {
    const int64_t whole = image * s.height * W * C + first, part = image * h * w * C + first;
    const T *x = in + whole, *u = u_in + whole, *g = grad + part;
    T *dx = to_in + whole, *dg = to_grad + part;
    const A *wt = weight + first, *bs = bias + first;
    A of_u[2][BLOCK], of_g[3][BLOCK], m[BLOCK], r[BLOCK], a[BLOCK], b[BLOCK];
    A q0[BLOCK], qx[BLOCK], qu[BLOCK], d0[BLOCK], dv[BLOCK], du[BLOCK], dq[BLOCK];
    for (int64_t c = 0; c < n; c++) {
      m[c] = means[image * C + first + c]; r[c] = scales[image * C + first + c];
      a[c] = wt[c] * r[c]; b[c] = bs[c];
    }
    over_pixels(s, n, of_u, [&](int64_t y, int64_t at, A (&row)[2][BLOCK]) {
      const T *p = x + (y * W + at) * C, *o = u + (y * W + at) * C;
      for (int64_t c = 0; c < n; c++) { row[0][c] += get(o[c]); row[1][c] += get(o[c]) * (get(p[c]) - m[c]); }
    });
    Shape pooled = s; pooled.height = 2 * h; pooled.width = 2 * w;
    over_pixels(pooled, n, of_g, [&](int64_t y, int64_t at, A (&row)[3][BLOCK]) {
      const T *p = x + (y * W + at) * C, *o = u + (y * W + at) * C, *q = g + (y / 2 * w + at / 2) * C;
      for (int64_t c = 0; c < n; c++) {
        const A v = get(p[c]) - m[c], of = v * a[c] + b[c] <= 0 ? A(0) : A(0.25) * get(q[c]);
        row[0][c] += of; row[1][c] += of * v; row[2][c] += of * get(o[c]);
      }
    });
    const A count = A(s.height * W);
    for (int64_t c = 0; c < n; c++) {
      const A mu = of_u[0][c] / count, mux = of_u[1][c] * r[c] / count, mg = of_g[0][c] / count, mgx = of_g[1][c] * r[c] / count;
      const A S = of_g[2][c] / count - mu * mg - mux * mgx, t = wt[c] * r[c] * r[c], e = uw[first + c] * r[c];
      to_weights[image * C + first + c] = count * r[c] * S;
      // What goes back to g: wt r (u - mu - x' mux) + uw x' + ub, as q0 + qx v + qu u with v = x - m.
      q0[c] = ub[first + c] - a[c] * mu; qx[c] = (uw[first + c] - a[c] * mux) * r[c]; qu[c] = a[c];
      // To x: -wt r^2 (x' S + mgx (u - mu - x' mux) + mux (g - mg - x' mgx)) + uw r (g - mg - x' mgx).
      d0[c] = t * (mgx * mu + mux * mg) - e * mg; dv[c] = (t * (2 * mux * mgx - S) - e * mgx) * r[c];
      du[c] = -t * mgx; dq[c] = e - t * mux;
    }
    for (int64_t y = 0; y < s.height; y++) for (int64_t at = 0; at < W; at++) {
      const T *p = x + (y * W + at) * C, *o = u + (y * W + at) * C; T* to = dx + (y * W + at) * C;
      if (y >= 2 * h || at >= 2 * w) {
        for (int64_t c = 0; c < n; c++) put(to[c], d0[c] + dv[c] * (get(p[c]) - m[c]) + du[c] * get(o[c]));
        continue;
      }
      const T* q = g + (y / 2 * w + at / 2) * C;
      for (int64_t c = 0; c < n; c++) {
        const A v = get(p[c]) - m[c], of = v * a[c] + b[c] <= 0 ? A(0) : A(0.25) * get(q[c]);
        put(to[c], d0[c] + dv[c] * v + du[c] * get(o[c]) + dq[c] * of);
      }
    }
    for (int64_t y = 0; y < h; y++) for (int64_t at = 0; at < w; at++) {
      T* to = dg + (y * w + at) * C; A sum[BLOCK];
      for (int64_t c = 0; c < n; c++) sum[c] = 0;
      for (int k = 0; k < 4; k++) {
        const int64_t place = ((2 * y + k / 2) * W + 2 * at + k % 2) * C;
        const T *p = x + place, *o = u + place;
        for (int64_t c = 0; c < n; c++) {
          const A v = get(p[c]) - m[c];
          sum[c] += v * a[c] + b[c] <= 0 ? A(0) : q0[c] + qx[c] * v + qu[c] * get(o[c]);
        }
      }
      for (int64_t c = 0; c < n; c++) put(to[c], A(0.25) * sum[c]);
    }
  });
}

}  // namespace

#define OPERATORS(NAME, T, A)                                                                                             \
  extern "C" void forward_##NAME(const T* in, const A* weight, const A* bias, double eps, T* out, A* mean, A* scale,       \
                                 int64_t N, int64_t H, int64_t W, int64_t C, int threads) {                                \
    forward<T, A>(in, weight, bias, A(eps), out, mean, scale, {N, H, W, C}, threads);                                      \
  }                                                                                                                        \
  extern "C" void backward_##NAME(const T* grad, const T* in, const A* weight, const A* bias, const A* mean,                \
                                  const A* scale, T* grad_in, A* grad_weight, A* grad_bias, int64_t N, int64_t H,           \
                                  int64_t W, int64_t C, int threads) {                                                     \
    backward<T, A>(grad, in, weight, bias, mean, scale, grad_in, grad_weight, grad_bias, {N, H, W, C}, threads);           \
  }                                                                                                                        \
  extern "C" void double_backward_##NAME(const T* u, const A* uw, const A* ub, const T* grad, const T* in,                 \
                                         const A* weight, const A* bias, const A* mean, const A* scale, T* to_grad, T* to_in,             \
                                         A* to_weight, int64_t N, int64_t H, int64_t W, int64_t C, int threads) {          \
    double_backward<T, A>(u, uw, ub, grad, in, weight, bias, mean, scale, to_grad, to_in, to_weight, {N, H, W, C}, threads); \
  }

OPERATORS(bfloat16, Bf16, float)
OPERATORS(float32, float, float)
OPERATORS(float64, double, double)
