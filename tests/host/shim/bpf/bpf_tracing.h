/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Nothing of it is needed on the host. */
