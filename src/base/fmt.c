/* SPDX-License-Identifier: Apache-2.0 */
/* Freestanding text formatting, used by errors and logs. */
#include "base/fmt.h"
#include "base/mem.h"

/* Where text goes; counts on beyond the end so that callers learn the full length. */
struct fmt_out {
	char *buf;
	size_t cap;
	size_t len;
};

struct fmt_spec {
	bool left, zero, plus, alternate;
	size_t width;
	size_t precision;
	bool has_precision;
	int length; /* bytes of the integer argument */
};

#define FMT_WIDTH_MAX 512u

static void out_char(struct fmt_out *out, char c)
{
	if (out->len + 1 < out->cap)
		out->buf[out->len] = c;
	out->len++;
}

static void out_repeat(struct fmt_out *out, char c, size_t n)
{
	while (n--)
		out_char(out, c);
}

static void out_text(struct fmt_out *out, const struct fmt_spec *spec, const char *s, size_t len)
{
	size_t pad = spec->width > len ? spec->width - len : 0;

	if (!spec->left)
		out_repeat(out, ' ', pad);
	for (size_t i = 0; i < len; i++)
		out_char(out, s[i]);
	if (spec->left)
		out_repeat(out, ' ', pad);
}

static void out_string(struct fmt_out *out, const struct fmt_spec *spec, const char *s)
{
	size_t limit = spec->has_precision ? spec->precision : SIZE_MAX;
	size_t len = 0;

	if (!s)
		s = "(null)";
	while (len < limit && s[len])
		len++;
	out_text(out, spec, s, len);
}

static void out_number(struct fmt_out *out, const struct fmt_spec *spec, uint64_t v, unsigned base, bool upper,
		       const char *prefix)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24];
	size_t n = 0, prefix_len = str_len(prefix), zeros = 0, total, pad;

	do {
		text[n++] = digits[v % base];
		v /= base;
	} while (v);
	if (spec->has_precision && spec->precision > n)
		zeros = spec->precision - n;
	total = prefix_len + zeros + n;
	pad = spec->width > total ? spec->width - total : 0;
	if (spec->zero && !spec->left && !spec->has_precision) {
		zeros += pad;
		pad = 0;
	}
	if (!spec->left)
		out_repeat(out, ' ', pad);
	for (size_t i = 0; i < prefix_len; i++)
		out_char(out, prefix[i]);
	out_repeat(out, '0', zeros);
	while (n)
		out_char(out, text[--n]);
	if (spec->left)
		out_repeat(out, ' ', pad);
}

static uint64_t arg_unsigned(const struct fmt_spec *spec, va_list *ap)
{
	switch (spec->length) {
	case 1: return (uint8_t)va_arg(*ap, unsigned);
	case 2: return (uint16_t)va_arg(*ap, unsigned);
	case 8: return va_arg(*ap, uint64_t);
	default: return va_arg(*ap, unsigned);
	}
}

static int64_t arg_signed(const struct fmt_spec *spec, va_list *ap)
{
	switch (spec->length) {
	case 1: return (int8_t)va_arg(*ap, int);
	case 2: return (int16_t)va_arg(*ap, int);
	case 8: return va_arg(*ap, int64_t);
	default: return va_arg(*ap, int);
	}
}

static const char *parse_flags(const char *p, struct fmt_spec *spec)
{
	for (;; p++) {
		if (*p == '-')
			spec->left = true;
		else if (*p == '0')
			spec->zero = true;
		else if (*p == '+')
			spec->plus = true;
		else if (*p == '#')
			spec->alternate = true;
		else
			return p;
	}
}

static const char *parse_size(const char *p, va_list *ap, size_t *out, bool *negative)
{
	size_t v = 0;

	if (*p == '*') {
		int arg = va_arg(*ap, int);

		*negative = arg < 0;
		v = arg < 0 ? 0u - (unsigned)arg : (unsigned)arg;
		p++;
	}
	for (; *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (size_t)(*p - '0');
		v = MIN(v, (size_t)INT32_MAX);
	}
	*out = v;
	return p;
}

static const char *parse_length(const char *p, struct fmt_spec *spec)
{
	spec->length = 4;
	if (*p == 'h') {
		spec->length = 2;
		if (*++p == 'h') {
			spec->length = 1;
			p++;
		}
	} else if (*p == 'l') {
		spec->length = 8;
		if (*++p == 'l')
			p++;
	} else if (*p == 'z' || *p == 'j' || *p == 't') {
		spec->length = 8;
		p++;
	}
	return p;
}

static const char *parse_spec(const char *p, struct fmt_spec *spec, va_list *ap)
{
	bool negative = false;

	p = parse_flags(p, spec);
	p = parse_size(p, ap, &spec->width, &negative);
	spec->left |= negative;
	spec->width = MIN(spec->width, (size_t)FMT_WIDTH_MAX);
	if (*p == '.') {
		negative = false;
		p = parse_size(p + 1, ap, &spec->precision, &negative);
		spec->has_precision = !negative;
	}
	return parse_length(p, spec);
}

static void out_signed(struct fmt_out *out, const struct fmt_spec *spec, int64_t v)
{
	uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	out_number(out, spec, magnitude, 10, false, v < 0 ? "-" : spec->plus ? "+" : "");
}

/* One conversion; returns what follows it. */
static const char *out_conversion(struct fmt_out *out, const char *p, va_list *ap)
{
	struct fmt_spec spec = { 0 };
	char c;

	p = parse_spec(p, &spec, ap);
	/* Numbers stay far below any buffer's size. */
	if (*p != 's')
		spec.precision = MIN(spec.precision, (size_t)FMT_WIDTH_MAX);
	switch (*p) {
	case 'd':
	case 'i': out_signed(out, &spec, arg_signed(&spec, ap)); break;
	case 'u': out_number(out, &spec, arg_unsigned(&spec, ap), 10, false, ""); break;
	case 'x': out_number(out, &spec, arg_unsigned(&spec, ap), 16, false, spec.alternate ? "0x" : ""); break;
	case 'X': out_number(out, &spec, arg_unsigned(&spec, ap), 16, true, spec.alternate ? "0X" : ""); break;
	case 'p': out_number(out, &spec, (uintptr_t)va_arg(*ap, void *), 16, false, "0x"); break;
	case 's': out_string(out, &spec, va_arg(*ap, const char *)); break;
	case 'c':
		c = (char)va_arg(*ap, int);
		out_text(out, &spec, &c, 1);
		break;
	case '%': out_char(out, '%'); break;
	case '\0': return p; /* a lone % at the end */
	default: out_char(out, *p); break;
	}
	return p + 1;
}

size_t fmt_vstring(char *buf, size_t cap, const char *fmt, va_list ap)
{
	struct fmt_out out = { .buf = buf, .cap = cap };
	va_list args;

	va_copy(args, ap);
	while (*fmt) {
		if (*fmt == '%')
			fmt = out_conversion(&out, fmt + 1, &args);
		else
			out_char(&out, *fmt++);
	}
	va_end(args);
	if (cap)
		buf[MIN(out.len, cap - 1)] = '\0';
	return out.len;
}

size_t fmt_string(char *buf, size_t cap, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	len = fmt_vstring(buf, cap, fmt, ap);
	va_end(ap);
	return len;
}
