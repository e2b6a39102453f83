# SPDX-License-Identifier: Apache-2.0
"""A digest over a bit of everything that Python and its libraries compute; see userland."""
import hashlib, zlib, random, json, decimal, math, re, sqlite3, bz2, lzma, itertools, fractions, statistics, struct, array, threading
random.seed(7)
h = hashlib.sha256()
def add(x): h.update(repr(x).encode())
data = bytes(random.getrandbits(8) for _ in range(200000))
for name in ("md5","sha1","sha512","blake2b","sha3_256"): add(hashlib.new(name, data).hexdigest())
for lvl in (1,6,9): add(zlib.crc32(zlib.compress(data*3, lvl)))
add(hashlib.md5(bz2.compress(data)).hexdigest()); add(hashlib.md5(lzma.compress(data)).hexdigest())
add([math.sin(i/7)*math.exp(-i/100)+math.gamma(1+i/50) for i in range(300)])
decimal.getcontext().prec=200; add(decimal.Decimal(2).sqrt()*decimal.Decimal(3).ln())
add(pow(3, 10**5, 10**300+7)); add(sum(fractions.Fraction(1,i) for i in range(1,300)))
add(statistics.linear_regression([random.random() for _ in range(1000)],[random.random() for _ in range(1000)]))
c = sqlite3.connect(":memory:"); c.execute("create table t(a,b)"); c.executemany("insert into t values(?,?)", [(i%97, random.random()) for i in range(20000)]); c.execute("create index x on t(a)")
add(c.execute("select a,count(*),sum(b),avg(b) from t group by a order by 3").fetchall())
add(json.loads(json.dumps({str(i):[random.random(), i] for i in range(2000)}))); add(re.findall(r"(\d+)a(b*)", "12ab34abb5a"*500))
add(sorted(random.sample(range(10**6), 50000))[:100]); add(list(itertools.permutations(range(7)))[1234])
a = array.array("d", (random.gauss(0,1) for _ in range(50000))); add(struct.pack("<d", sum(a)))
r=[]
def w(k):
    s=0
    for i in range(60000): s=(s*31+i*k)&0xffffffff
    r.append(s)
t=[threading.Thread(target=w,args=(k,)) for k in range(4)]; [x.start() for x in t]; [x.join() for x in t]; add(sorted(r))
print(h.hexdigest())
