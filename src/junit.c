/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Budgets as JUnit XML, for the test reports of CI systems. The form is the one that they have in common (Jenkins' junit-10.xsd, GitLab, GitHub actions):
 * testsuites > testsuite (name, tests, failures, errors, skipped, time, timestamp) > testcase (name, classname, time), with failure, error or skipped inside.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "budgets.h"
#include "units.h"

/* Text of an element or attribute. First as it would be shown on a terminal: XML 1.0 has no way to write control characters, not even as references. */
static void rt_junit_text(FILE *out, const char *text)
{
	char *safe = rt_text_escape(text, 0);

	for (const char *c = safe ? safe : "?"; *c; c++) {
		switch (*c) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			/* U+FFFE and U+FFFF are no characters of XML */
			if (!strncmp(c, "\xef\xbf\xbe", 3) || !strncmp(c, "\xef\xbf\xbf", 3)) {
				fputs("\xef\xbf\xbd", out);
				c += 2;
			} else {
				fputc(*c, out);
			}
		}
	}
	free(safe);
}

static void rt_junit_attribute(FILE *out, const char *name, const char *text)
{
	fprintf(out, " %s=\"", name);
	rt_junit_text(out, text);
	fputc('"', out);
}

static void rt_junit_case(FILE *out, const struct rt_junit *junit, const struct rt_budget *budget)
{
	const char *element = budget->truth == RT_BT_TRUE ? "failure" : junit->unknown_fails ? "error" : "skipped";
	const char *detail = budget->detail ? budget->detail : "not judged";

	fputs("    <testcase", out);
	rt_junit_attribute(out, "name", budget->name);
	rt_junit_attribute(out, "classname", junit->suite);
	fputs(" time=\"0\"", out);
	if (budget->truth != RT_BT_FALSE) {
		fprintf(out, ">\n      <%s", element);
		rt_junit_attribute(out, "message", detail);
		if (strcmp(element, "skipped"))
			rt_junit_attribute(out, "type", budget->truth == RT_BT_TRUE ? "budget broken" : "budget not evaluated");
		fputs(">", out);
		rt_junit_text(out, budget->text);
		if (budget->note) {
			fputs("\n", out);
			rt_junit_text(out, budget->note);
		}
		fputs("\n", out);
		rt_junit_text(out, detail);
		fprintf(out, "\n</%s>\n    </testcase>\n", element);
		return;
	}
	fputs(">\n      <system-out>", out);
	rt_junit_text(out, budget->text);
	fputs("\n", out);
	rt_junit_text(out, detail);
	fputs("\n</system-out>\n    </testcase>\n", out);
}

int rt_junit_write(FILE *out, const struct rt_junit *junit, const struct rt_budgets *budgets)
{
	size_t broken = rt_budgets_count(budgets, RT_BT_TRUE), unknown = rt_budgets_count(budgets, RT_BT_UNKNOWN);
	size_t errors = junit->unknown_fails ? unknown : 0;
	time_t when = (time_t)(junit->wall_ns / 1000000000);
	char stamp[32] = "";
	struct tm tm;

	if (junit->wall_ns && gmtime_r(&when, &tm))
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	errno = 0;
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite");
	rt_junit_attribute(out, "name", junit->suite);
	fprintf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\"", budgets->n, broken, errors, unknown - errors,
		(double)junit->duration_ns / 1e9);
	if (*stamp)
		rt_junit_attribute(out, "timestamp", stamp);
	fputs(">\n", out);
	for (size_t i = 0; i < budgets->n; i++)
		rt_junit_case(out, junit, &budgets->budget[i]);
	fputs("  </testsuite>\n</testsuites>\n", out);
	if (fflush(out) || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}
